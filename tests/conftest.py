"""The suite runs on 8 fake devices, under strict dtype promotion."""

import os
import pathlib

import jax
import pytest
from absl import flags

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_dtype_promotion', 'strict')
# grain reads an absl flag, and pytest parses none.
flags.FLAGS.mark_as_parsed()

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def pile_like() -> pathlib.Path:
  """Real text in The Pile's format, where a checkout has it beside it."""
  path = ROOT.parent / 'shared' / 'data' / 'pile_like'
  if not path.is_dir():
    pytest.skip('no ../shared/data/pile_like beside this checkout')
  return path


@pytest.fixture
def one_device_env() -> dict[str, str]:
  """The environment of a subprocess that runs the program as a user does."""
  env = dict(os.environ)
  env['PYTHONPATH'] = str(ROOT)
  env['JAX_PLATFORMS'] = 'cpu'
  return env
