"""Compares our training step with other systems', in separate processes."""

import contextlib
import importlib
import pathlib
import sys
from collections.abc import Iterator

from launch.benchmark.bare import (
  L0,
  PATHS,
  A,
  bare_steps,
  random_rows,
  step_flops,
)
from launch.benchmark.measure import SPEED, Speed, in_turn, on_cpu, ratio, table
from launch.benchmark.peers import Work, worker


@contextlib.contextmanager
def ours(name: str, **arguments) -> Iterator[Work]:
  """Yields our own work, in the same form as `worker` yields that of others.

  On an accelerator it runs in this process, since only one process fits there.
  """
  if on_cpu():
    command = ['-m', 'launch.benchmark', '--device=cpu', f'--worker={name}']
    with worker([sys.executable, *command], **arguments) as works:
      yield works
  else:
    module = importlib.import_module(f'launch.benchmark.{name}')
    yield module.work(**arguments)


@contextlib.contextmanager
def theirs(python: str, name: str, **arguments) -> Iterator[Work]:
  script = pathlib.Path(__file__).with_name('peers.py')
  with worker([python, str(script), name], **arguments) as works:
    yield works


def work(features: int, batch: int, l0: float) -> Work:
  """Our bare steps, as the work of a worker."""
  steps = bare_steps(random_rows(batch), features, tuple(PATHS), l0)
  return {f'ours, {PATHS[path]}': work for path, work in steps.items()}


def compared(
  title: str, peers: str | None, rounds: int, features: int, batch: int
) -> dict[str, Speed]:
  """Prints each system's speed, and how much faster each of our paths is."""
  sizes = {'features': features, 'batch': batch, 'l0': L0}
  with contextlib.ExitStack() as stack:
    works = stack.enter_context(ours('compare', **sizes))
    own = list(works)
    for name in ('SAELens', 'dictionary_learning') if peers else ():
      works |= stack.enter_context(theirs(peers, name, **sizes, width=A))
    found = in_turn(works, rounds)
  flops = {
    f'ours, {name}': step_flops(features, path) for path, name in PATHS.items()
  }
  speeds = {
    name: Speed(batch, seconds, flops.get(name, 0.0))
    for name, seconds in found.items()
  }
  rows = [
    (
      name,
      *speeds[name].cells(),
      *(f'{ratio(seconds, found[x]):.2f}x' for x in own),
    )
    for name, seconds in found.items()
  ]
  table(title, ('', *SPEED, *(f'{x} is' for x in own)), *rows)
  return speeds
