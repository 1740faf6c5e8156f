"""Numbers over time: metrics.jsonl, TensorBoard events, the progress line."""

import json
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import tqdm


class Metrics:
  """Writes the numbers of one run of a stage, such as `lm/A`.

  Opening it at `start` takes back what was written beyond, so that a run that
  goes on from a checkpoint never says anything twice.
  """

  def __init__(self, workdir: pathlib.Path, run: str, start: int):
    from tensorboardX import SummaryWriter  # slow to import

    self._run = run
    path = workdir / 'metrics.jsonl'
    _drop_beyond(path, run, start)
    self._file = path.open('a', encoding='utf-8')
    self._events = SummaryWriter(
      str(workdir / 'tensorboard' / run.replace('/', '-')), purge_step=start
    )

  def write(self, step: int, numbers: Mapping[str, Any]) -> None:
    """Writes numbers (floats, or lists for histograms) as of `step`."""
    line = {'run': self._run, 'step': step, **numbers}
    self._file.write(json.dumps(line) + '\n')
    self._file.flush()
    for name, value in numbers.items():
      if isinstance(value, int | float):
        self._events.add_scalar(name, value, step)

  def close(self) -> None:
    self._file.close()
    self._events.close()


def _drop_beyond(path: pathlib.Path, run: str, start: int) -> None:
  if not path.exists():
    return
  kept = []
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      record = json.loads(line)
    except json.JSONDecodeError:
      continue  # the last line of a run that was killed while writing it
    if record['run'] != run or record['step'] <= start:
      kept.append(line + '\n')
  temporary = path.with_suffix('.tmp')
  temporary.write_text(''.join(kept), encoding='utf-8')
  temporary.replace(path)


def progress(name: str, *, total: int, unit: str, start: int = 0) -> tqdm.tqdm:
  """The progress line: share done, rate in `unit`/s, ETA."""
  return tqdm.tqdm(
    desc=name,
    total=total,
    initial=start,
    unit=unit,
    unit_scale=True,
    dynamic_ncols=True,
    # A log file gets a line now and then, a terminal a live one.
    mininterval=0.2 if sys.stderr.isatty() else 15,
    maxinterval=15,
    file=sys.stderr,
  )
