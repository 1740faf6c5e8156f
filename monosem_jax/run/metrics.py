"""Metrics over time: metrics.jsonl, TensorBoard events, the progress line."""

import json
import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tqdm

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
from monosem_jax.device.cost import flops_text


class Metrics:
  """Writes the numbers of one training, such as `lm/A`.

  Opening it at `start` removes records of later steps, so that a training
  resumed from a checkpoint has no duplicates. Only the first process writes.
  """

  def __init__(self, workdir: pathlib.Path, name: str, start: int):
    self._name, self._file = name, None
    if not hosts.first():
      return
    path = workdir / 'metrics.jsonl'
    _drop_beyond(path, name, start)
    self._file = path.open('a', encoding='utf-8')
    self._events = _Events(
      workdir / 'tensorboard' / name.replace('/', '-'), start
    )

  def write(self, step: int, numbers: Mapping[str, Any]) -> None:
    """Writes the numbers of `step`: floats, or lists for histograms."""
    if self._file is None:
      return
    line = {'run': self._name, 'step': step, **numbers}
    self._file.write(json.dumps(line) + '\n')
    self._file.flush()
    self._events.write(
      step, {k: v for k, v in numbers.items() if isinstance(v, int | float)}
    )

  def close(self) -> None:
    if self._file is not None:
      self._file.close()
      self._events.close()


class _Events:
  """TensorBoard's events, written in the calling thread.

  tensorboardX's SummaryWriter passes them to a thread, which dies silently when
  the disk is full; later writes then wait for it forever.
  """

  def __init__(self, directory: pathlib.Path, start: int):
    from tensorboardX import event_file_writer, summary  # slow to import
    from tensorboardX.proto import event_pb2

    self._event, self._scalar = event_pb2.Event, summary.scalar
    directory.mkdir(parents=True, exist_ok=True)
    self._writer = event_file_writer.EventsWriter(str(directory / 'events'))
    # Makes TensorBoard drop an earlier session's events of later steps.
    session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    self._flushed = time.monotonic()
    self._writer.write_event(
      self._event(wall_time=time.time(), step=start + 1, session_log=session)
    )

  def write(self, step: int, numbers: Mapping[str, float]) -> None:
    now = time.time()
    for name, value in numbers.items():
      self._writer.write_event(
        self._event(wall_time=now, step=step, summary=self._scalar(name, value))
      )
    if time.monotonic() - self._flushed > 30:
      self._flushed = time.monotonic()
      self._writer.flush()

  def close(self) -> None:
    self._writer.close()


def read(workdir: pathlib.Path, name: str) -> list[dict[str, Any]]:
  """Returns the records of a training, in order."""
  lines = (workdir / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  return [r for r in map(json.loads, lines) if r['run'] == name]


def _drop_beyond(path: pathlib.Path, name: str, start: int) -> None:
  if not path.exists():
    return
  kept = []
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      record = json.loads(line)
    except json.JSONDecodeError:
      continue  # a kill may have cut the last line
    if record['run'] != name or record['step'] <= start:
      kept.append(line + '\n')
  temporary = path.with_suffix('.tmp')
  temporary.write_text(''.join(kept), encoding='utf-8')
  temporary.replace(path)


def progress(name: str, *, total: int, unit: str, start: int = 0) -> tqdm.tqdm:
  """Returns process 0's progress line: share done, rate in `unit`/s, ETA."""
  live = sys.stderr.isatty()
  bar = tqdm.tqdm(
    desc=name,
    total=total,
    initial=start,
    unit=unit,
    unit_scale=True,
    dynamic_ncols=True,
    # A log file gets a line every 15 s, a terminal a live line.
    mininterval=0.2 if live else 15,
    maxinterval=15,
    file=sys.stderr if live else _Lines(),
    disable=not hosts.first(),
  )
  # tqdm reads a clock that can be set back, which gives negative times.
  bar._time = time.monotonic
  bar.start_t = bar.last_print_t = time.monotonic()
  return bar


class _Lines:
  """Standard error with each state of a bar on a line of its own, so that a
  later message, such as an error, starts on a new line."""

  def write(self, text: str) -> None:
    if text.strip():
      sys.stderr.write(text.strip() + '\n')

  def flush(self) -> None:
    sys.stderr.flush()


def advance(bar: tqdm.tqdm, done: int, total: int) -> None:
  """Moves a bar and sets its total, which was unknown when it was made."""
  bar.total = total
  bar.update(done - bar.n)


class Reporter:
  """Checks, writes and shows the numbers of each chunk, in order."""

  def __init__(
    self,
    workdir: pathlib.Path,
    name: str,
    *,
    start: int,
    stop: int,
    steps_per_chunk: int,
    units_per_chunk: int,
    unit: str,
    summarise: Callable[[Any], tuple[dict[str, Any], np.ndarray]],
    flops_per_chunk: float = 0.0,
    peak_flops: float = 0.0,
  ):
    """Opens the writers.

    Args:
      workdir: folder of metrics.jsonl.
      name: name of the training in it, such as `lm/A`.
      start: number of chunks already done.
      stop: number of chunks at the end.
      steps_per_chunk: training steps per chunk.
      units_per_chunk: units per chunk that the progress line counts.
      unit: name of the units (tokens, activations).
      summarise: maps a chunk's stats on the host to the numbers to write and
        finite_S, whether the numbers of each step are finite.
      flops_per_chunk: FLOPs per chunk of all devices; 0 if unknown.
      peak_flops: peak FLOP/s of all devices; 0 if unknown.
    """
    self._flops, self._peak = flops_per_chunk, peak_flops
    self._name = name
    self._steps, self._units = steps_per_chunk, units_per_chunk
    self._summarise = summarise
    self._metrics = Metrics(workdir, name, start * steps_per_chunk)
    self._bar = progress(
      name,
      total=stop * units_per_chunk,
      start=start * units_per_chunk,
      unit=unit,
    )
    self._first: tuple[int, float] | None = None
    self._last: tuple[int, float] | None = None

  def __call__(self, done: int, stats: Any, finite: bool = True) -> None:
    """Reports the stats of a chunk.

    Args:
      done: number of the chunk, from 1.
      stats: the argument of `summarise`.
      finite: whether the state after the chunk is finite.

    Raises:
      UserError: a step was not finite.
    """
    numbers, finite_S = self._summarise(stats)
    if finite_S.all() and not finite:
      finite_S = np.arange(self._steps) < self._steps - 1
    if not finite_S.all():
      step = (done - 1) * self._steps + int(np.argmin(finite_S)) + 1
      raise UserError(
        f'{self._name}: the numbers of step {step} are not finite. The step '
        'was not saved; the last checkpoint is intact. Lower the learning '
        'rate, or inspect the data of that step, and start again.'
      )
    before, self._last = self._last, (done, time.perf_counter())
    self._first = self._first or self._last
    timing = self._timing(before, self._last)
    self._metrics.write(done * self._steps, numbers | timing)
    self._bar.set_postfix_str(self._postfix(numbers), refresh=False)
    self._bar.update(self._units)

  def _timing(
    self, since: tuple[int, float] | None, until: tuple[int, float]
  ) -> dict[str, float]:
    """Returns rate and utilisation between two chunks; {} without two."""
    if since is None or since == until:
      return {}
    chunks_per_second = (until[0] - since[0]) / (until[1] - since[1])
    timing = {'units_per_second': chunks_per_second * self._units}
    if self._flops:
      timing['flops_per_second'] = chunks_per_second * self._flops
      if self._peak:
        timing['mfu'] = timing['flops_per_second'] / self._peak
    return timing

  def _postfix(self, numbers: dict[str, Any]) -> str:
    parts = []
    if 'loss' in numbers:
      parts.append(f'loss {numbers["loss"]:.4g}')
    session = self.timing()
    if session['flops_per_second']:
      parts.append(f'{flops_text(session["flops_per_second"])}/s')
    if session['mfu']:
      parts.append(f'MFU {session["mfu"]:.1%}')
    return ', '.join(parts)

  def timing(self) -> dict[str, float | None]:
    """Returns the rates of this session after its first chunk, the warm-up.

    They are `units_per_second`, `flops_per_second` (matrix products) and `mfu`
    (model FLOPs utilisation, their share of the peak). A rate is None if it is
    unknown or the session had only one chunk.
    """
    known = dict.fromkeys(('units_per_second', 'flops_per_second', 'mfu'))
    if self._first is None or self._last is None:
      return known
    return known | self._timing(self._first, self._last)

  def rate(self) -> float | None:
    """Returns units per second, see `timing`."""
    return self.timing()['units_per_second']

  def close(self) -> None:
    self._bar.close()
    self._metrics.close()
