"""The harness of the failure drills, which are tests/test_drill_*.py.

A drill runs the real program on a text and a config of some seconds, does
something to it, starts the same command again, and compares what comes out
with a run that was left alone. A drill that this machine does not allow is
skipped with its reason. From the environment:

  MONOSEM_DRILL_KILLS         kill -9 in a row, at random moments (6)
  MONOSEM_DRILL_CUTS          files of a checkpoint cut short (6)
  MONOSEM_DRILL_SOAK_MINUTES  of each training whose memory is watched (0.75)
  MONOSEM_DRILL_PLATFORM      JAX_PLATFORMS of the runs (cpu); XLA_FLAGS is
                              theirs as well

The claim of equal bits holds on a CPU for one device count. On a GPU, XLA may
choose other kernels in another process, and some of them add in any order;
its documentation names this remedy:

  MONOSEM_DRILL_PLATFORM= XLA_FLAGS=--xla_gpu_deterministic_ops=true \\
    python -m pytest -m slow tests/test_drill_kills.py

`--xla_gpu_exclude_nondeterministic_ops=true` is not enough here: it still lets
every process tune its own choice of kernels. The flag costs 14% of A/1's chunk
on an H100 (102.0 ms beside 89.2, jax 0.11.2).
"""

import functools
import os
import pathlib
import subprocess
import time
import types
from collections.abc import Callable, Mapping

import program
import undisturbed
from child import Child

KILLS = int(os.environ.get('MONOSEM_DRILL_KILLS', '6'))
CUTS = int(os.environ.get('MONOSEM_DRILL_CUTS', '6'))
SOAK_MINUTES = float(os.environ.get('MONOSEM_DRILL_SOAK_MINUTES', '0.75'))
DEVICE = {
  'JAX_PLATFORMS': os.environ.get('MONOSEM_DRILL_PLATFORM', 'cpu'),
  'XLA_FLAGS': os.environ.get('XLA_FLAGS', program.QUICKLY),
}
# Chunks of each training: enough that no kill comes too late.
CHUNKS = max(24, 4 * KILLS)
LONGER = (
  f'--config.lm.steps={CHUNKS * undisturbed.STAGES["lm"].steps_per_chunk}',
  f'--config.stream.steps={CHUNKS * undisturbed.STAGES["sae"].steps_per_chunk}',
  '--config.checkpoint.every_chunks=2',
  '--config.checkpoint.keep=3',
)


def start(
  stage: str,
  workdir: pathlib.Path,
  *more: str,
  env: Mapping[str, str] = types.MappingProxyType({}),
  **how,
) -> Child:
  """Starts a stage of a longer training than `program`'s, as it starts one."""
  return program.start(stage, workdir, *LONGER, *more, env=DEVICE | env, **how)


def run(
  stage: str, workdir: pathlib.Path, *more: str, **how
) -> subprocess.CompletedProcess:
  """Runs such a stage to its end."""
  return program.run(stage, workdir, *LONGER, *more, env=DEVICE, **how)


@functools.cache
def finished() -> pathlib.Path:
  """The yardstick: every stage to the features, and nothing done to it."""

  def make(workdir):
    for stage in undisturbed.STAGES:
      run(stage, workdir)

  workdir = program.once('drill', make)
  for stage in ('lm', 'sae'):
    records = program.records(workdir, undisturbed.STAGES[stage].run)
    assert len(records) == CHUNKS
  return workdir


def prepare(stage: str, workdir: pathlib.Path) -> pathlib.Path:
  """Copies what the stages before have left."""
  return undisturbed.prepare(stage, workdir, finished())


def compare(workdir: pathlib.Path, *stages: str) -> None:
  """Holds what stages left to the yardstick."""
  undisturbed.compare(workdir, finished(), *stages)


def steps(chunk: int, stage: str) -> int:
  """The steps of a training that are done after a chunk."""
  return chunk * undisturbed.STAGES[stage].steps_per_chunk


def after(seconds: float) -> Callable[[], bool]:
  """Says when so many seconds have passed from now."""
  until = time.monotonic() + seconds
  return lambda: time.monotonic() >= until


def written(path: pathlib.Path) -> Callable[[], bool]:
  """Says when a file is written anew."""

  def stamp() -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None

  before = stamp()
  return lambda: stamp() != before


def saved(workdir: pathlib.Path, stage: str, chunk: int) -> Callable[[], bool]:
  """Says when there is a checkpoint of that chunk or a later one."""
  return lambda: max(undisturbed.whole(workdir, stage), default=0) >= chunk


def saving(workdir: pathlib.Path, stage: str) -> Callable[[], bool]:
  """Says when a new checkpoint is being written."""
  cleaned = False

  def now() -> bool:
    nonlocal cleaned
    there = bool(undisturbed.unfinished(workdir, stage))
    # What a killed save has left goes first.
    cleaned = cleaned or not there
    return cleaned and there

  return now


def under_way(workdir: pathlib.Path) -> str:
  """The first stage whose last file is not there."""
  for name, stage in undisturbed.STAGES.items():
    if not (workdir / stage.last).exists():
      return name
  return 'site'
