"""The nearest features of each, by decoder rows: `analysis.geometry.nearest`.

Within its dictionary and in every other one on the same activations; controls
are none of them.
"""

import pathlib

import numpy as np

from monosem_jax.analysis import figures, geometry
from monosem_jax.features import moments
from monosem_jax.run.files import write_arrays
from monosem_jax.stages.analysis.bench import Bench, Subject, median
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.sections import features

# Of each feature, in each dictionary.
_NEAREST = 5


def make(bench: Bench, out: pathlib.Path) -> dict:
  numbers, of_main = {}, {}
  for x in bench.subjects():
    if x.is_control:
      continue
    alike = [s for s in bench.subjects(x.model) if not s.is_control]
    told, done = bench.progress(f'neighbours/{x.name}'), 0
    total = sum(s.live_F.size for s in alike)
    columns, numbers[x.run] = {}, {}
    for y in alike:
      index_Fk, cosine_Fk = _nearest(bench, x, y)
      columns[f'{y.name}_index_Fk'] = index_Fk
      columns[f'{y.name}_cosine_Fk'] = cosine_Fk
      numbers[x.run][y.run] = median(cosine_Fk[:, 0])
      if x is bench.main:
        of_main[y.run] = cosine_Fk[:, 0]
      done += y.live_F.size
      told(done, total)
    write_arrays(out / f'{x.name}.npz', columns)
  figures.histogram(
    out / 'nearest.png',
    of_main,
    f'Of each feature of {bench.main.run} that fires the nearest other one of '
    'a dictionary, by the cosine of decoder rows; in brackets how many.',
    'cosine with the nearest',
    bins=np.linspace(-0.1, 1, 56),
  )
  return {'nearest': _NEAREST, 'median': numbers}


def _nearest(
  bench: Bench, x: Subject, y: Subject
) -> tuple[np.ndarray, np.ndarray]:
  X, Y = x.live_F.size, y.live_F.size
  others = None if x is y else (y.rows_FA, y.table.fired_F > 0)
  block = moments.blocks(X, Y, 1, bench.config.block_bytes)[0].stop
  return geometry.nearest(
    x.rows_FA, x.table.fired_F > 0, _NEAREST, others, block
  )


ANALYSIS = Analysis(
  order=60,
  make=make,
  title='Nearest decoder rows',
  asked='How near is the nearest other row, in each dictionary of the model?',
  answer=features.neighbours,
  picture='nearest.png',
  view='features',
)
