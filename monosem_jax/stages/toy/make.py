"""Makes the parts of the stage `toy` that are not made yet."""

import pathlib
from collections.abc import Callable
from typing import Any

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
from monosem_jax.run import Run, graph, metrics
from monosem_jax.run.files import read_json, write_json
from monosem_jax.stages import optional_dependencies, report
from monosem_jax.stages.toy import PARTS, part, parts, topics

# `make(settings, seed, out, advance) -> (numbers, a summary line)`, and the
# number of steps of its progress.
_PARTS: dict[str, tuple[Callable[..., parts.Made], Callable[[Any], int]]] = {
  'superposition': (parts.superposition, lambda c: 1),
  'binary_neuron': (parts.binary_neuron, lambda c: 1),
  'penalty': (parts.penalty, lambda c: 1),
  'topics': (topics.make, lambda c: c.seeds * (len(c.penalties) + 1)),
  'planted': (parts.planted, lambda c: 1),
}


def make_all(run: Run) -> None:
  """Makes the parts that are not made yet.

  Raises:
    UserError: a library is missing, there are several processes, or the numbers
      of a training are not finite.
  """
  lacking = optional_dependencies.lacking('matplotlib', 'sklearn')
  if lacking:
    raise UserError(f'toy: {lacking}.')
  if not hosts.alone():
    raise UserError(
      'toy: needs a single process; run it without --distributed.'
    )
  toy = run.config.toy
  wanted = [
    name for name in PARTS if not graph.complete(part(run, name), run.log)
  ]
  steps = sum(_PARTS[name][1](getattr(toy, name)) for name in wanted)
  bar = metrics.progress('toy', total=steps, unit='run')
  for name in wanted:
    with graph.making(part(run, name)) as out:
      _make(run, name, out, bar.update)
  bar.close()
  w = run.workdir
  parts_of = {name: read_json(w.toy(name) / 'numbers.json') for name in PARTS}
  write_json(w.toy_result, parts_of)
  report.write(run)


def _make(
  run: Run, name: str, out: pathlib.Path, advance: Callable[[], Any]
) -> None:
  toy = run.config.toy
  found, said = _PARTS[name][0](getattr(toy, name), toy.seed, out, advance)
  try:
    write_json(out / 'numbers.json', found | {'summary': said})
  except ValueError:
    raise UserError(
      f'toy/{name}: the numbers of a training are not finite; lower its '
      f'learning rates (toy.{name}).'
    ) from None
  run.log(f'toy/{name}: {said}')
