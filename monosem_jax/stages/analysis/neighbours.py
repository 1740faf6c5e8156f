"""The nearest features of each feature, by decoder rows.

They are searched in all dictionaries on the same activations, without controls.
See `analysis.geometry.nearest`.
"""

import pathlib

import numpy as np

from monosem_jax.analysis import figures, geometry
from monosem_jax.analysis.results.arrays import Nearest, Neighbours
from monosem_jax.analysis.results.features import NearestRows
from monosem_jax.features import moments
from monosem_jax.features.featureset import FeatureSet
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import AnalysisInputs, median
from monosem_jax.stages.analysis.sections import features

# Nearest features per feature and dictionary.
_NEAREST = 5


def make(inputs: AnalysisInputs, out: pathlib.Path) -> NearestRows:
  numbers: dict[str, dict[str, float | None]] = {}
  of_main = {}
  for x in inputs.feature_sets():
    if x.is_control:
      continue
    alike = [s for s in inputs.feature_sets(x.model) if not s.is_control]
    told, done = inputs.progress(f'neighbours/{x.key}'), 0
    total = sum(s.live_F.size for s in alike)
    nearest, numbers[x.name] = {}, {}
    for y in alike:
      nearest[y.key] = _nearest(inputs, x, y)
      cosine_F = nearest[y.key].cosine_Fk[:, 0]
      numbers[x.name][y.name] = median(cosine_F)
      if x is inputs.main:
        of_main[y.name] = cosine_F
      done += y.live_F.size
      told(done, total)
    Neighbours(nearest).save(out / f'{x.key}.npz')
  figures.histogram(
    out / 'nearest.png',
    of_main,
    f'Of each feature of {inputs.main.name} that fires the nearest other one '
    'of a dictionary, by the cosine of decoder rows; in brackets how many.',
    'cosine with the nearest',
    bins=np.linspace(-0.1, 1, 56),
  )
  return NearestRows(_NEAREST, numbers)


def _nearest(inputs: AnalysisInputs, x: FeatureSet, y: FeatureSet) -> Nearest:
  X, Y = x.live_F.size, y.live_F.size
  others = None if x is y else (y.rows_FA, y.fires_F)
  block = moments.blocks(X, Y, 1, inputs.config.block_bytes)[0].stop
  index_Fk, cosine_Fk = geometry.nearest(
    x.rows_FA, x.fires_F, _NEAREST, others, block
  )
  return Nearest(index_Fk, cosine_Fk)


ANALYSIS = Analysis(
  order=60,
  make=make,
  numbers=NearestRows,
  title='Nearest decoder rows',
  asked='How near is the nearest other row, in each dictionary of the model?',
  answer=features.neighbours,
  picture='nearest.png',
  view='features',
)
