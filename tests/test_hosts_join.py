"""Two processes join, and refuse flags and places that do not fit."""

import pathlib
import socket
import subprocess
import sys

import program
import pytest
from pair import Pair, environment, free_port, pair, the_error

SHARES = """
import itertools, sys
from monosem_jax.device import hosts, mesh as meshes
flags = dict(a[2:].split('=') for a in sys.argv[1:])
with hosts.together(
  False, flags['coordinator'], 2, int(flags['process_id']), 60
):
  import jax, numpy as np
  devices, S, B = jax.devices(), 3, 8
  x_SBT = np.arange(S * B * 5).reshape(S, B, 5)
  # Processes in turn, one inside the other, one beside the other.
  for order in ([0, 2, 1, 3], [0, 2, 3, 1], [3, 2, 1, 0]):
    for shape in ((4, 1), (2, 2), (1, 4)):
      there = np.array(devices)[order].reshape(shape)
      mesh = jax.sharding.Mesh(there, meshes.AXES)
      for name in ('tokens_SBT', 'x_MNA', 'replicated'):
        share = meshes.share(mesh, (S, B), getattr(meshes.SPECS, name))
        placed = share.put(x_SBT.reshape(-1, 5)[share.rows])
        np.testing.assert_array_equal(meshes.fetch(placed), x_SBT)
        sizes = hosts.largest(len(share.rows)), -hosts.largest(-len(share.rows))
        hosts.log(f'{order} {shape} {name}: {sizes[1]} to {sizes[0]} rows')
  seven = lambda: hosts.on_first_process(lambda: 7)
  numbers = [hosts.largest(i * seven()) for i in range(99)]
  assert numbers == [7 * i for i in range(99)]
"""


def test_each_process_brings_what_its_devices_hold(tmp_path):
  run = Pair([[sys.executable, '-c', SHARES]] * 2, tmp_path)
  assert run.wait() == [0, 0], run.said(0) + run.said(1)
  assert run.said(1) == ''
  lines = run.said(0).splitlines()
  assert len(lines) == 3 * 3 * 3
  # Half of what is spread over all devices, in whatever order they are.
  halves = [x for x in lines if 'tokens_SBT' in x]
  assert all(x.endswith('12 to 12 rows') for x in halves)
  # What lies on one axis is held whole where both processes lie on the other.
  assert any('x_MNA' in x and x.endswith('24 to 24 rows') for x in lines)


@pytest.mark.slow
def test_a_work_directory_of_its_own_is_refused(tmp_path):
  more = '--join_seconds=20'
  second = lambda command: [*command, f'--workdir={tmp_path / "other"}', more]
  with pair(tmp_path / 'out', 'all', tmp_path / 'w', second=second) as run:
    assert run.wait() == [2, 2]
  error = the_error(run.said(1))
  assert str(tmp_path / 'other') in error and 'share' in error
  assert the_error(run.said(0)) == f'process 1: {error}'


def joining(*flags: str) -> list[str]:
  return ['all', f'--config={program.config()}', '--workdir=unused', *flags]


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    (['--process_id=0'], 'given together, not only --process_id'),
    (
      ['--coordinator=a:1', '--num_processes=2'],
      'not only --coordinator and --num_processes',
    ),
    (
      ['--coordinator=a:1', '--num_processes=2', '--process_id=2'],
      '--process_id=2: with --num_processes=2, process ids are 0 to 1',
    ),
    (
      ['--coordinator=a:1', '--num_processes=2', '--process_id=-1'],
      '--process_id=-1',
    ),
    (
      ['--coordinator=host', '--num_processes=2', '--process_id=0'],
      '--coordinator=host: must be HOST:PORT',
    ),
    (['--distributed', '--coordinator=a:1'], '--distributed replaces'),
    (['--num_processes=two'], 'num_processes'),
  ],
)
def test_flags_that_do_not_fit(flags, words):
  assert words in program.refusal(*joining(*flags))
  assert not pathlib.Path('unused').exists()


def test_a_port_that_is_taken():
  with socket.socket() as taken:
    taken.bind(('', 0))
    taken.listen()
    port = taken.getsockname()[1]
    at = [f'--coordinator=127.0.0.1:{port}', '--num_processes=2']
    error = program.refusal(*joining(*at, '--process_id=0'))
  assert f'127.0.0.1:{port}' in error and 'not free' in error


@pytest.mark.parametrize(
  ('flags', 'code', 'words'),
  [
    (['--distributed'], 2, '--distributed: jax finds no cluster'),
    (
      ['--num_processes=2', '--process_id=1', '--join_seconds=2'],
      75,
      'not all 2 processes joined at 127.0.0.1',
    ),
  ],
)
def test_nobody_to_join(tmp_path, flags, code, words):
  if len(flags) > 1:
    flags.append(f'--coordinator=127.0.0.1:{free_port()}')
  done = subprocess.run(
    [*program.command('all', tmp_path / 'w'), *flags],
    env=environment(2, tmp_path),
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == code
  assert done.stderr.count('\n') == 1 and words in done.stderr, done.stderr
