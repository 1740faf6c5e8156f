"""What C++ does to a process: native.py."""

import os

import pytest

from monosem_jax.device import native

FLAG = '--xla_force_host_platform_device_count'


@pytest.mark.parametrize(
  'flags, before, nproc',
  [
    ('', None, None),
    (f'--xla_dump_to= {FLAG}=64', None, '256'),
    (f'{FLAG}=64', '7', '7'),  # who says it themselves is right
    (f'{FLAG}=1', None, None),
  ],
)
def test_devices_that_share_cores_get_threads(
  flags, before, nproc, monkeypatch
):
  monkeypatch.setattr(os, 'cpu_count', lambda: 2)
  monkeypatch.setenv('XLA_FLAGS', flags)
  monkeypatch.setenv('NPROC', '')  # put back behind the test, whatever it is
  monkeypatch.delenv('NPROC')
  if before:
    monkeypatch.setenv('NPROC', before)
  native.enough_threads()
  assert os.environ.get('NPROC') == nproc
