"""Patches of other libraries: each is needed, and drops no more than it says.

Where a test of what happens without a patch fails, the patch can go.
"""

import subprocess
import sys

import program
import pytest

WITHOUT = """
from monosem_jax.run import patches
patches.apply = lambda: None
"""

# A save of which no file may grow beyond a kilobyte.
FAILING = """
import pathlib, resource, sys
from absl import logging
import jax.numpy as jnp
import numpy as np
from monosem_jax.run.checkpoint import Checkpoints

checkpoints = Checkpoints(pathlib.Path(sys.argv[1]), 2)
noise = np.random.default_rng(0).normal(size=(64, 64))
state = {'w': jnp.asarray(noise, jnp.float32)}
resource.setrlimit(resource.RLIMIT_FSIZE, (1_024, 1_024))
try:
  checkpoints.save(1, state)
  checkpoints.close()
except Exception as e:
  print('File too large' in str(e))
logging.warning('of something else')
"""

# What TensorStore does with a write that ends after a save that has failed.
LATE = """
import asyncio, time
import tensorstore
from monosem_jax.run import patches

patches.apply()
promise, future = tensorstore.Promise.new()

async def late():
  await future

async def failing():
  raise ValueError('the first')

async def save():
  await asyncio.gather(late(), failing())

loop = asyncio.new_event_loop()
try:
  loop.run_until_complete(save())
except ValueError as e:
  print(e)
loop.close()
promise.set_result(1)
time.sleep(0.2)

class Other:
  def __del__(self):
    raise RuntimeError('of something else')

Other()
"""


IMPORTING = """
import logging, sys, time
import tensorstore
from orbax.checkpoint._src.futures import future

def others():
  loggers = [logging.getLogger(name) for name in ('absl', 'asyncio')]
  return [
    sys.unraisablehook, tensorstore.experimental_collect_matching_metrics,
    future.time, *((x.level, list(x.filters)) for x in loggers),
  ]

before = others()
import monosem_jax.main, monosem_jax.stages.sae, monosem_jax.device.hosts
assert others() == before and future.time is time
"""


def run(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, '-c', code, *argv],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=120,
    check=True,
  )


@pytest.mark.skipif(sys.platform == 'win32', reason='has no limits of files')
def test_a_save_that_fails_raises_and_prints_nothing(tmp_path):
  done = run(FAILING, str(tmp_path / 'c'))
  assert done.stdout == 'True\n'
  assert done.stderr == 'WARNING:absl:of something else\n'
  assert (
    '_SignalingThread' in run(WITHOUT + FAILING, str(tmp_path / 'd')).stderr
  )


def test_writes_after_the_first_that_failed_print_nothing():
  done = run(LATE)
  assert done.stdout == 'the first\n'
  assert 'loop is closed' not in done.stderr
  assert 'of something else' in done.stderr
  assert 'loop is closed' in run(WITHOUT + LATE).stderr


def test_importing_the_program_patches_nothing():
  run(IMPORTING)
