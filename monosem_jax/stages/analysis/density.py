"""Feature densities, classes and modes, at the end and over training.

See the paper's appendix on feature density, and `features.census`.
"""

import functools
import pathlib
from collections.abc import Callable

import numpy as np

from monosem_jax.analysis import figures, intervals
from monosem_jax.analysis.results.density import (
  Census,
  Density,
  SetDensity,
  Snapshot,
)
from monosem_jax.analysis.results.numbers import from_json, to_json
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import encode, rows_of
from monosem_jax.features import census
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.features.moments import adding, collect
from monosem_jax.interop import saelens
from monosem_jax.run.files import read_json, write_arrays
from monosem_jax.stages import programs
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.stages.analysis.sections import features

# The most contexts used for the densities of snapshots.
_HISTORY_CONTEXTS = 512


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Density:
  step = adding(functools.partial(_fired, inputs.dot))
  by_name, log_density = {}, {}
  for s in inputs.feature_sets():
    fired_F, tokens = s.table.fired_F, s.table.meta['tokens']
    live = s.table.density_F[s.live_F]
    told = from_json(
      Census, s.table.meta['census'], inputs.run.workdir.features(s.key)
    )
    by_name[s.name] = SetDensity(told, intervals.of(live))
    log_density[s.name] = census.log_density(fired_F, tokens)
    if not s.is_control:
      _three_ways(s, log_density[s.name], out)
  tokens = inputs.main.table.meta['tokens']
  figures.histogram(
    out / 'densities.png',
    log_density,
    f'Density of features that fired on {tokens:,} tokens. In brackets: how '
    'many. Those that never fired are not shown.',
    'log10 of the share of tokens a feature fires on',
    bins=census.EDGES[census.EDGES >= -7],
  )
  history = {
    s.name: _history(inputs, step, s, out)
    for s in inputs.feature_sets()
    if not s.is_control
  }
  return Density(by_name, history)


def _three_ways(s: LoadedSet, log_F: np.ndarray, out: pathlib.Path) -> None:
  """Draws the paper's three measures that separate modes, with our classes."""
  columns = {
    'log_density_F': np.asarray(log_F, np.float32),
    'encoder_bias_F': np.asarray(meshes.fetch(s.sae.b_enc_F)),
    'cosine_F': s.table.cosine_F,
    'class_F': s.table.class_F,
  }
  fired_F = s.table.fired_F
  write_arrays(out / f'{s.key}.npz', columns | {'fired_F': fired_F})
  parts = {
    name.replace('_', ' '): (s.table.class_F == k) & (fired_F > 0)
    for k, name in enumerate(census.CLASSES)
  }
  for y, label in (
    ('encoder_bias_F', 'encoder bias'),
    ('cosine_F', 'cosine of encoder column and decoder row'),
  ):
    figures.scatter(
      out / f'{s.key}_{y.removesuffix("_F")}.png',
      {k: (log_F[x], columns[y][x]) for k, x in parts.items() if x.any()},
      f'{s.name}: features that fired on {s.table.meta["tokens"]:,} tokens, by '
      'class; in brackets how many.',
      'log10 of the density',
      label,
    )


def _fired(dot: Dot, args, batch):
  """Returns how many tokens each feature of several dictionaries fires on."""
  lm, saes = args
  acts_BTA = programs.forward(lm, batch[0])
  x_NA = rows_of(acts_BTA)
  return [(encode(sae, x_NA, dot) > 0).sum(0) for sae in saes]


def _history(
  inputs: AnalysisInputs, step: Callable, s: LoadedSet, out: pathlib.Path
) -> list[Snapshot]:
  """Returns the census of each snapshot, all on the same tokens."""
  folders = sorted(
    (inputs.run.workdir.dictionary(s.key) / 'snapshots').glob('step_*')
  )
  snapshots = {
    read_json(folder / saelens.CONFIG)['metadata']['step']: saelens.load(folder)
    for folder in folders
  }
  if not snapshots:
    return []

  saes = [meshes.place(inputs.mesh, sae) for sae in snapshots.values()]
  batches = max(_HISTORY_CONTEXTS // inputs.batch_size, 1)
  contexts = min(inputs.contexts, batches * inputs.batch_size)
  tokens = contexts * inputs.store.context
  found = collect(
    step,
    (inputs.lm(s.model), saes),
    inputs.batches(f'density/{s.key}', contexts=contexts),
  )
  log_density = {
    f'step {step:,}': census.log_density(np.asarray(fired_F), tokens)
    for step, fired_F in zip(snapshots, found, strict=True)
  }
  figures.histogram(
    out / f'{s.key}_over_training.png',
    log_density,
    f'{s.name} at steps of its training: density of features that fired on '
    f'{tokens:,} tokens; in brackets how many.',
    'log10 of the share of tokens a feature fires on',
    bins=census.EDGES[census.EDGES >= -7],
  )
  c, told = inputs.run.config.features, []
  for (at, sae), fired in zip(snapshots.items(), found, strict=True):
    fired_F = np.asarray(fired)
    cosine_F = census.cosine(sae.W_enc_AF, sae.W_dec_FA)
    own = census.classify(
      fired_F, tokens, cosine_F, c.least_firings, c.modes_apart
    )
    numbers = census.numbers(own, fired_F)
    told.append(Snapshot(at, from_json(Census, to_json(numbers), out)))
  return told


ANALYSIS = Analysis(
  order=10,
  make=make,
  numbers=Density,
  title='Which features live',
  asked='How many features of each dictionary are dead, rare, of a low '
  'mode, live?',
  answer=features.density,
  picture='densities.png',
  view='features',
)
