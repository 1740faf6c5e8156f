"""Stage `toy`: why dictionaries, on models small enough to know the truth of.

Each part is complete or not at all, and made anew where its settings changed.
It leaves numbers.json, arrays and pictures in its folder, and all numbers stand
in toy/toy.json. No other stage is needed.
"""

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
from monosem_jax.run import metrics
from monosem_jax.run.files import read_json, write_json
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import optional_dependencies, report
from monosem_jax.stages.toy import parts, topics

# `make(settings, seed, out, advance) -> (numbers, a line that sums them up)`,
# and how many runs its progress counts.
_PARTS = {
  'superposition': (parts.superposition, lambda c: 1),
  'binary_neuron': (parts.binary_neuron, lambda c: 1),
  'penalty': (parts.penalty, lambda c: 1),
  'topics': (topics.make, lambda c: c.seeds * (len(c.penalties) + 1)),
  'planted': (parts.planted, lambda c: 1),
}
PARTS = tuple(_PARTS)


def run(w: Workdir) -> None:
  """Makes the parts that are not made yet.

  Raises:
    UserError: a library is missing, there are several processes, or a training
      came to numbers that are not finite.
  """
  lacking = optional_dependencies.lacking('matplotlib', 'sklearn')
  if lacking:
    raise UserError(f'toy: {lacking}.')
  if not hosts.alone():
    raise UserError(
      'toy: is work for one process: run it without --distributed.'
    )
  toy = w.config.toy
  for name in PARTS:
    if _complete(w, name):
      w.log(f'toy/{name}: complete')
  wanted = [name for name in PARTS if not _complete(w, name)]
  runs = sum(_PARTS[name][1](getattr(toy, name)) for name in wanted)
  bar = metrics.progress('toy', total=runs, unit='run')
  for name in wanted:
    out = w.toy(name)
    w.toy_stamp(name).replace(out)
    found, said = _PARTS[name][0](getattr(toy, name), toy.seed, out, bar.update)
    try:
      write_json(out / 'numbers.json', found | {'summary': said})
    except ValueError:
      raise UserError(
        f'toy/{name}: a training came to numbers that are not finite; lower '
        f'its learning rates (toy.{name}).'
      ) from None
    w.log(f'toy/{name}: {said}')
  bar.close()
  parts_of = {name: read_json(w.toy(name) / 'numbers.json') for name in PARTS}
  write_json(w.toy_result, parts_of)
  report.write(w)


def _complete(w: Workdir, name: str) -> bool:
  out = w.toy(name)
  return w.toy_stamp(name).matches(out) and (out / 'numbers.json').exists()
