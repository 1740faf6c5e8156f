"""Stage `analysis`: measures the paper's claims about features, and controls.

A module here is an analysis if it declares an `ANALYSIS`, see `declaration`.
Analyses are made in order; each is complete or absent. With several processes,
all compute, and the first one writes the files.
"""

import dataclasses
import functools

from monosem_jax.config import choices, names
from monosem_jax.config.flags import Flag
from monosem_jax.run import Run
from monosem_jax.run.artefact import Artefact, Changed, Input
from monosem_jax.run.stamp import identity
from monosem_jax.stages import (
  features,
  later,
  lm,
  optional_dependencies,
  sae,
)

FLAGS = (
  Flag(
    name='only',
    kind=str,
    default='',
    shown='A,B',
    help='only these analyses, such as density,automata',
  ),
)
# Settings that controls depend on.
_OF_CONTROLS = ('control_rows', 'ica_passes', 'split', 'seed')


@functools.cache
def declared() -> dict[str, tuple[str, ...]]:
  """Returns the analyses in order, each with the analyses that it reads.

  The modules are parsed, not imported, since they need jax and matplotlib.
  """
  found = choices.literals(__package__, 'ANALYSIS')
  names = sorted(found, key=lambda name: found[name]['order'])
  return {name: found[name].get('needs', ()) for name in names}


def artefacts(run: Run) -> list[Artefact]:
  if not run.config.dictionaries:
    return []
  found = []
  for name in names.controls(run.config):
    found += [control(run, name), features.table(run, name, _model_of(name))]
  return [*found, *(analysis(run, name) for name in declared())]


def _model_of(control: str) -> str:
  return names.parse(control).model


def control(run: Run, name: str) -> Artefact:
  """Returns the declaration of a control, which is stored as a dictionary."""
  c, w = run.config.analysis, run.workdir
  inputs = lm.output(w, _model_of(name))
  if not names.parse(name).is_neurons:
    inputs |= sae.output(w, names.main_dictionary(run.config))
  return Artefact(
    name=f'controls/{name}',
    stage='analysis',
    folder=w.dictionary(name),
    whole={f'controls/{name}': w.dictionary_weights(name)},
    settings={f'analysis.{k}': getattr(c, k) for k in _OF_CONTROLS},
    inputs=inputs,
    changed=Changed.ANEW,
    later=later('analysis'),
  )


def analysis(run: Run, name: str) -> Artefact:
  """Returns the declaration of an analysis."""
  c, w = run.config, run.workdir
  own = {name, *declared()[name]}
  others = {
    f.name
    for f in dataclasses.fields(c.analysis)
    if dataclasses.is_dataclass(getattr(c.analysis, f.name))
  } - own
  settings = {
    key: value
    for key, value in identity(c.analysis, 'analysis').items()
    if key.split('.')[1] not in others
  }
  inputs: dict[str, Input] = {}
  for model, dictionaries in names.entries(c).items():
    inputs |= lm.output(w, model)
    for dictionary in dictionaries:
      inputs |= sae.output(w, dictionary) | features.output(w, dictionary)
  return Artefact(
    name=f'analysis/{name}',
    stage='analysis',
    folder=w.analysis(name),
    whole={f'analysis/{name}': w.analysis(name) / 'numbers.json'},
    # The analysis `preserved` reads the evaluation's tokens.
    settings=settings | identity(c.evaluation, 'evaluation'),
    inputs=inputs,
    changed=Changed.ANEW,
    later=later('analysis'),
  )


def left_out() -> str:
  """Returns which libraries the stage lacks; '' if none."""
  return optional_dependencies.lacking('matplotlib', 'sklearn', 'umap')


def execute(run: Run, only: str = '') -> None:
  from monosem_jax.stages.analysis import make

  make.make_all(run, only)
