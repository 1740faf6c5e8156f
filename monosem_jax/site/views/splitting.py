"""How features split from each dictionary to the next larger one."""

import itertools
from collections.abc import Sequence

import numpy as np

from monosem_jax.analysis.results.arrays import Splits
from monosem_jax.analysis.results.numbers import to_json
from monosem_jax.analysis.results.splitting import Splitting
from monosem_jax.site import views
from monosem_jax.site.links import Folders
from monosem_jax.site.pack import half


def packs(folder: Folders, keys: Sequence[str]) -> dict[str, views.Pack]:
  """`splitting`: the dictionaries from small to large, and the edges."""
  pack = _splitting(folder, keys)
  return {} if pack is None else {'splitting': pack}


def _splitting(folder: Folders, keys: Sequence[str]) -> views.Pack | None:
  """The pack, or None if a dictionary or its edges are missing.

  Columns `source0`, `target0` and `value0` hold the edges from the first
  dictionary to the second, sorted by source and falling value; and so on.
  """
  numbers = Splitting.load_if_made(folder('splitting'))
  if numbers is None:
    return None
  own = views.numbers_of(keys, numbers.dictionaries)
  if own is None:
    return None
  columns: dict[str, np.ndarray] = {}
  for step, (a, b) in enumerate(itertools.pairwise(own)):
    path = folder('splitting') / f'{keys[a]}_{keys[b]}.npz'
    edges = Splits.load_if_there(path)
    if edges is None:
      return None
    order = np.lexsort((-edges.similarity_M, edges.source_M))
    columns |= {
      f'source{step}': edges.source_M[order].astype(np.uint32),
      f'target{step}': edges.target_M[order].astype(np.uint32),
      f'value{step}': half(edges.similarity_M[order]),
    }
  return {
    'threshold': numbers.threshold,
    'tokens': numbers.tokens,
    'steps': to_json(numbers.steps),
    'components': numbers.components,
    'largest': numbers.largest,
    'sets': own,
  }, columns
