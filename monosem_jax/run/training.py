"""Runs a training from its start, or its last checkpoint, to its end."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax
import numpy as np

from monosem_jax.device import mesh as meshes
from monosem_jax.device.compile import Program, announce, peak_flops, profiled
from monosem_jax.run import Run, loop
from monosem_jax.run.artefact import Progress
from monosem_jax.run.checkpoint import Checkpoints
from monosem_jax.run.metrics import Reporter


class Batches(Iterator[Any], Protocol):
  """An iterator over batches, which is closed after the training."""

  def close(self) -> None: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
  """The parts in which trainings differ.

  Attributes:
    name: name in metrics.jsonl, such as `lm/A`.
    progress: number of steps, and folder of checkpoints.
    mesh: the device mesh.
    init: makes the initial state; it is traced.
    start: sets the parts of the initial state that depend on data.
    program: compiles `chunk(state, *fixed, *batch) -> (state, stats)` for a
      state of this shape and placement.
    fixed: arguments that are the same for every chunk.
    batches: `batches(chunk)` opens the batches from that chunk on.
    place: puts a batch on the devices.
    unit: unit that the progress line counts.
    units_per_chunk: number of units per chunk.
    flops: FLOPs of a chunk's matrix products on each device.
    precision: dtype of these products.
    summarise: maps a chunk's stats on the host to the numbers to write and
      finite_S, whether the numbers of each step are finite.
    observe: reads the state after each chunk, see `loop.train`.
  """

  name: str
  progress: Progress
  mesh: jax.sharding.Mesh
  init: Callable[[], Any]
  start: Callable[[Any], Any] = lambda state: state
  program: Callable[[Any], Program]
  fixed: tuple[Any, ...] = ()
  batches: Callable[[int], Batches]
  place: Callable[[Any], tuple[jax.Array, ...]]
  unit: str
  units_per_chunk: int
  flops: float
  precision: np.dtype
  summarise: Callable[[Any], tuple[dict[str, Any], np.ndarray]]
  observe: Callable[[int, Any], None] = lambda done, state: None


def fit(run: Run, t: Training) -> tuple[Any, dict[str, float | None]]:
  """Runs a training; its mesh must be the current one.

  Returns:
    The final state, and the timing of this session (`Reporter.timing`).

  Raises:
    Stopped: a signal arrived; the state is saved.
    UserError: a step was not finite, or a checkpoint could not be written.
  """

  def log(line: str) -> None:
    run.log(f'{t.name}: {line}')

  runtime, S = run.config.runtime, t.progress.steps_per_chunk
  checkpoints = Checkpoints(t.progress.checkpoints, run.config.checkpoint.keep)
  restored = checkpoints.restore(meshes.like(t.mesh, t.init), run.log)
  start, state = restored or (0, t.start(meshes.init_sharded(t.mesh, t.init)))
  log(f'{start * S:,} of {t.progress.steps:,} steps are done')
  program = t.program(state)
  announce(program, t.flops, S, log)
  stop = t.progress.steps // S
  reporter = Reporter(
    run.workdir.root,
    t.name,
    start=start,
    stop=stop,
    steps_per_chunk=S,
    units_per_chunk=t.units_per_chunk,
    unit=t.unit,
    summarise=t.summarise,
    flops_per_chunk=t.flops * t.mesh.size,
    peak_flops=peak_flops(runtime, t.precision.name),
  )
  with (
    contextlib.closing(t.batches(start)) as batches,
    profiled(runtime, run.workdir.profile(t.name), log, program.call) as chunk,
  ):
    state = loop.train(
      lambda state, *batch: chunk(state, *t.fixed, *batch),
      state,
      map(t.place, batches),
      start=start,
      stop=stop,
      report=reporter,
      checkpoints=checkpoints,
      every=run.config.checkpoint.every_chunks,
      observe=t.observe,
    )
  reporter.close()
  return state, reporter.timing()
