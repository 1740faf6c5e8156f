"""Stage `toy`: why dictionaries, on models so small that the truth is known.

Each part is complete or not at all, and made anew where its settings changed.
It leaves numbers.json, arrays and pictures in its folder, and all numbers stand
in toy/toy.json. No other stage is needed.
"""

from monosem_jax.run.artefact import Artefact, Changed
from monosem_jax.run.stamp import identity
from monosem_jax.run.workdir import Workdir

PARTS = ('superposition', 'binary_neuron', 'penalty', 'topics', 'planted')


def artefacts(w: Workdir) -> list[Artefact]:
  return [part(w, name) for name in PARTS]


def part(w: Workdir, name: str) -> Artefact:
  """An experiment."""
  c = w.config.toy
  return Artefact(
    name=f'toy/{name}',
    stage='toy',
    folder=w.toy(name),
    whole={f'toy/{name}': w.toy(name) / 'numbers.json'},
    settings=identity(getattr(c, name), f'toy.{name}') | {'toy.seed': c.seed},
    changed=Changed.ANEW,
  )


def run(w: Workdir) -> None:
  from monosem_jax.stages.toy import make

  make.run(w)
