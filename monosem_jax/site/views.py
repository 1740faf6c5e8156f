"""What the page's other views show: packs made of finished analyses.

Each function takes what gives the folders of analyses, and the keys of the
sets that are shown, in order; it returns a pack's meta and columns, or None
where its analysis is not made. Sets are told by their numbers in `keys`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from monosem_jax.analysis import results
from monosem_jax.config.names import run_name
from monosem_jax.run.files import read_json
from monosem_jax.site.links import Folders
from monosem_jax.site.pack import half

Pack = tuple[Any, dict[str, np.ndarray]]


def texts(folder: Folders) -> Pack | None:
  """The example texts: whence each is, and its tokens."""
  found = results.Texts.load_if_there(folder('texts') / 'texts.npz')
  if found is None:
    return None
  # Not their origins, which name files of somebody's machine.
  kept = ('subset', 'document', 'offset', 'whole')
  texts = _numbers(folder, 'texts')['texts']
  return [{name: text[name] for name in kept} for text in texts], {
    'tokens': found.tokens_XT.astype(np.uint16)
  }


def texts_of(folder: Folders, key: str) -> Pack | None:
  """The loss of each token of the example texts, and the features of a set that
  fire on it.

  The strongest of each token one after the other: `of` says where those of the
  text's token t begin, by number x * T + t.
  """
  found = results.ActiveFeatures.load_if_there(folder('texts') / f'{key}.npz')
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
  found, numbers = {}, _numbers(folder, 'geometry') or {}
  for name, runs in numbers.get('layouts', {}).items():
    layout = results.Layout.load_if_there(folder('geometry') / f'{name}.npz')
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
  numbers = _numbers(folder, 'splitting')
  if numbers is None:
    return None
  own = [_key(keys, run) for run in numbers['dictionaries']]
  if None in own:
    return None
  columns = {}
  for step, (a, b) in enumerate(itertools.pairwise(own)):
    path = folder('splitting') / f'{keys[a]}_{keys[b]}.npz'
    edges = results.Splits.load_if_there(path)
    if edges is None:
      return None
    order = np.lexsort((-edges.similarity_M, edges.source_M))
    columns |= {
      f'source{step}': edges.source_M[order].astype(np.uint32),
      f'target{step}': edges.target_M[order].astype(np.uint32),
      f'value{step}': half(edges.similarity_M[order]),
    }
  kept = ('threshold', 'tokens', 'steps', 'components', 'largest')
  return {name: numbers[name] for name in kept} | {'sets': own}, columns


def universality(folder: Folders, keys: Sequence[str]) -> Pack | None:
  """Pairs of features of two models, by three similarities."""
  numbers = _numbers(folder, 'universality')
  pairs = results.Pairs.load_if_there(folder('universality') / 'pairs.npz')
  if numbers is None or pairs is None:
    return None
  features = numbers['pairs']['features']
  sets = [_key(keys, features[name]) for name in ('of', 'with')]
  if None in sets:
    return None
  medians = {
    name: {k: x[k] for k in ('of', 'with', 'median', 'count', 'paper')}
    for name, x in numbers['pairs'].items()
  }
  # How closely the other two similarities follow that of activations.
  follow = {
    'logits': features.get('logits_follow_activation'),
    'attribution': features.get('attribution_follows_activation'),
  }
  meta = {'sets': sets, 'tokens': numbers['tokens'], 'medians': medians}
  return meta | {'follow': follow}, {
    'feature': pairs.feature_M.astype(np.uint32),
    'match': pairs.match_M.astype(np.uint32),
    'activation': half(pairs.activation_M),
    'logits': half(pairs.logits_M),
    'attribution': half(pairs.attribution_M),
  }


def automata(folder: Folders) -> Pack | None:
  """The machines that are listed, whole."""
  numbers = _numbers(folder, 'automata')
  return None if numbers is None else (numbers, {})


def _numbers(folder: Folders, name: str) -> dict[str, Any] | None:
  path = folder(name) / 'numbers.json'
  found = read_json(path) if path.exists() else None
  return None if found is None or 'not_here' in found else found


def _key(keys: Sequence[str], run: str) -> int | None:
  """The number of a run, A/1, among the keys of sets."""
  runs = [run_name(key) for key in keys]
  return runs.index(run) if run in runs else None
