"""What the page's other views show: packs made of finished analyses.

Each function takes what gives the folders of analyses, and the keys of the
sets that are shown, in order; it returns a pack's meta and columns, or None
where its analysis is not made. Sets are told by their numbers in `keys`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from monosem_jax.analysis.results import arrays
from monosem_jax.analysis.results.automata import Automata
from monosem_jax.analysis.results.features import ExampleTexts
from monosem_jax.analysis.results.geometry import Geometry
from monosem_jax.analysis.results.numbers import to_json
from monosem_jax.analysis.results.relations import Splitting, Universality
from monosem_jax.config.names import run_name
from monosem_jax.site.links import Folders
from monosem_jax.site.pack import half

Pack = tuple[Any, dict[str, np.ndarray]]


def texts(folder: Folders) -> Pack | None:
  """The example texts: whence each is, and its tokens."""
  found = arrays.Texts.load_if_there(folder('texts') / 'texts.npz')
  if found is None:
    return None
  # Not their origins, which name files of somebody's machine.
  kept = ('subset', 'document', 'offset', 'whole')
  numbers = ExampleTexts.load_if_made(folder('texts'))
  if numbers is None:
    return None
  texts = [to_json(text) for text in numbers.texts]
  return [{name: text[name] for name in kept} for text in texts], {
    'tokens': found.tokens_XT.astype(np.uint16)
  }


def texts_of(folder: Folders, key: str) -> Pack | None:
  """The loss of each token of the example texts, and the features of a set that
  fire on it.

  The strongest of each token one after the other: `of` says where those of the
  text's token t begin, by number x * T + t.
  """
  found = arrays.ActiveFeatures.load_if_there(folder('texts') / f'{key}.npz')
  if found is None:
    return None
  feature_XTL = found.feature_XTL
  there_XTL = feature_XTL >= 0
  return None, {
    'loss': half(found.loss_XT),
    'of': np.r_[0, np.cumsum(there_XTL.sum(2))].astype(np.uint32),
    'active': found.active_XT.reshape(-1).astype(np.uint32),
    'feature': feature_XTL[there_XTL].astype(np.uint32),
    'activation': half(found.activation_XTL[there_XTL]),
    'attribution': half(found.attribution_XTL[there_XTL]),
  }


def layouts(
  folder: Folders, keys: Sequence[str]
) -> dict[str, tuple[Any, dict[str, np.ndarray]]]:
  """The maps: positions of features in the plane, and their clusters."""
  found, numbers = {}, Geometry.load_if_made(folder('geometry'))
  for name, runs in (numbers.layouts if numbers else {}).items():
    layout = arrays.Layout.load_if_there(folder('geometry') / f'{name}.npz')
    own = [_key(keys, run) for run in runs]
    if layout is None or None in own:
      continue
    position_F2 = layout.position_F2
    low_2, high_2 = position_F2.min(0), position_F2.max(0)
    # 16 bits are finer than any screen.
    unit_F2 = (position_F2 - low_2) / np.maximum(high_2 - low_2, 1e-9)
    columns = {
      'position': np.round(unit_F2 * 65_535).astype(np.uint16),
      'set': np.array(own)[layout.dictionary_F].astype(np.uint8),
      'feature': layout.feature_F.astype(np.uint32),
    }
    meta: dict[str, Any] = {
      'sets': own,
      'extent': (high_2 - low_2).astype(float).tolist(),
    }
    if layout.cluster_F is not None:
      columns['cluster'] = layout.cluster_F.astype(np.int32)
      columns['order'] = layout.order_F.astype(np.uint32)
    found[name] = meta, columns
  return found


def splitting(folder: Folders, keys: Sequence[str]) -> Pack | None:
  """The dictionaries in order, and all edges from each to the next.

  `source0`, `target0` and `value0` are those from the first to the second,
  float16 bits, by source and falling value.
  """
  numbers = Splitting.load_if_made(folder('splitting'))
  if numbers is None:
    return None
  own = [_key(keys, run) for run in numbers.dictionaries]
  if None in own:
    return None
  columns = {}
  for step, (a, b) in enumerate(itertools.pairwise(own)):
    path = folder('splitting') / f'{keys[a]}_{keys[b]}.npz'
    edges = arrays.Splits.load_if_there(path)
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


def universality(folder: Folders, keys: Sequence[str]) -> Pack | None:
  """Pairs of features of two models, by three similarities."""
  numbers = Universality.load_if_made(folder('universality'))
  pairs = arrays.Pairs.load_if_there(folder('universality') / 'pairs.npz')
  if numbers is None or pairs is None:
    return None
  features = numbers.pairs['features']
  sets = [_key(keys, run) for run in (features.run, features.other)]
  if None in sets:
    return None
  medians = {
    name: {
      'of': x.run,
      'with': x.other,
      'median': x.median,
      'count': x.count,
      'paper': x.paper,
    }
    for name, x in numbers.pairs.items()
  }
  # How closely the other two similarities follow that of activations.
  follow = {
    'logits': features.listed.logits_follow_activation,
    'attribution': features.listed.attribution_follows_activation,
  }
  meta = {'sets': sets, 'tokens': numbers.tokens, 'medians': medians}
  return meta | {'follow': follow}, {
    'feature': pairs.feature_M.astype(np.uint32),
    'match': pairs.match_M.astype(np.uint32),
    'activation': half(pairs.activation_M),
    'logits': half(pairs.logits_M),
    'attribution': half(pairs.attribution_M),
  }


def automata(folder: Folders) -> Pack | None:
  """The machines that are listed, whole."""
  numbers = Automata.load_if_made(folder('automata'))
  return None if numbers is None else (to_json(numbers), {})


def _key(keys: Sequence[str], run: str) -> int | None:
  """The number of a run, A/1, among the keys of sets."""
  runs = [run_name(key) for key in keys]
  return runs.index(run) if run in runs else None
