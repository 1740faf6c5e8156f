"""Stage `toy`: why dictionaries, on models so small that the truth is known.

Each part writes numbers.json, arrays and pictures into its folder, and is
remade if its settings change. toy/toy.json holds the numbers of all parts. The
stage needs no other stage.
"""

from monosem_jax.run import Run
from monosem_jax.run.artefact import Artefact, Changed
from monosem_jax.run.stamp import identity

PARTS = ('superposition', 'binary_neuron', 'penalty', 'topics', 'planted')


def artefacts(run: Run) -> list[Artefact]:
  return [part(run, name) for name in PARTS]


def part(run: Run, name: str) -> Artefact:
  """Returns the declaration of a part: one experiment."""
  c = run.config.toy
  return Artefact(
    name=f'toy/{name}',
    stage='toy',
    folder=run.workdir.toy(name),
    whole={f'toy/{name}': run.workdir.toy(name) / 'numbers.json'},
    settings=identity(getattr(c, name), f'toy.{name}') | {'toy.seed': c.seed},
    changed=Changed.ANEW,
  )


def execute(run: Run) -> None:
  from monosem_jax.stages.toy import make

  make.make_all(run)
