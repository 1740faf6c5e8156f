"""Links between features, read from the analyses' results.

near      the nearest features of each dictionary, by the cosine of decoder rows
twin      the nearest feature of the other model, by correlation of activations
parent    in the next smaller dictionary, by masked cosine similarity
child     in the next larger one, by the same
next      features more likely to fire on the next token: the rise of their
          probability, predicted from logit weights
previous  features that have this one as `next`, with the same value
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from monosem_jax.analysis.results import arrays

# Returns the folder of an analysis by its name. It need not exist.
Folders = Callable[[str], pathlib.Path]
KINDS = ('near', 'twin', 'parent', 'child', 'next', 'previous')
# A feature keeps so many links, the strongest, of one kind to one set.
_KEPT = 12


@dataclasses.dataclass(frozen=True)
class Links:
  """The M links of the F features of a set, sorted by feature.

  Attributes:
    of_F1: where each feature's links begin, and the end of the last.
    kind_M: the kind of each link, an index of `KINDS`.
    set_M: the set that it leads to, an index of the keys that `read` was given.
    feature_M: the feature that it leads to.
    value_M: its strength, in the unit of its kind.
  """

  of_F1: np.ndarray
  kind_M: np.ndarray
  set_M: np.ndarray
  feature_M: np.ndarray
  value_M: np.ndarray


def none(features: int) -> Links:
  """No links."""
  return _sorted(features, [])


def read(
  folder: Folders,
  features: Mapping[str, int],
  main: str,
  match: str | None,
) -> dict[str, Links]:
  """Reads the links of every set.

  Args:
    folder: gives the folders of analyses. One that was not made has no links.
    features: the number of features of each set on the page, by key.
    main: the key of the main dictionary.
    match: the key of its match in another model, if there is one.

  Returns:
    The links of each set, by key.
  """
  keys = list(features)
  found: dict[str, list[tuple]] = {key: [] for key in keys}
  for key in keys:
    found[key] += _near(folder('neighbours') / f'{key}.npz', keys)
  if main in found and match in found:
    _twins(folder('universality') / 'twins.npz', (main, match), keys, found)
  if main in found:
    _automata(folder('automata') / 'edges.npz', main, keys, found)
  for path in sorted((folder('splitting')).glob('*_*.npz')):
    small, _, large = path.stem.partition('_')
    if small in found and large in found:
      e = arrays.Splits.load(path)
      source, target, value = e.source_M, e.target_M, e.similarity_M
      found[small].append(('child', keys.index(large), source, target, value))
      found[large].append(('parent', keys.index(small), target, source, value))
  return {key: _sorted(features[key], parts) for key, parts in found.items()}


def _near(path: pathlib.Path, keys: list[str]) -> Iterator[tuple]:
  found = arrays.Neighbours.load(path).of
  for number, key in enumerate(keys):
    if key in found:
      index_Fk, cosine_Fk = found[key].index_Fk, found[key].cosine_Fk
      source_Fk = np.arange(len(index_Fk))[:, None] + np.zeros_like(index_Fk)
      there_Fk = index_Fk >= 0
      columns = (x[there_Fk] for x in (source_Fk, index_Fk, cosine_Fk))
      yield 'near', number, *columns


def _twins(path, match, keys, found) -> None:
  t = arrays.Twins.load_if_there(path)
  if t is None:
    return
  for own, other, index_F, r_F in (
    (*match, t.match_F, t.r_F),
    (*match[::-1], t.back_match_F, t.back_r_F),
  ):
    (source,) = np.nonzero(index_F >= 0)
    found[own].append(
      ('twin', keys.index(other), source, index_F[source], r_F[source])
    )


def _automata(path, main, keys, found) -> None:
  edges = arrays.Successors.load_if_there(path)
  if edges is None:
    return
  kept = edges.gain_M > 0
  source, target = edges.source_M[kept], edges.target_M[kept]
  gain, number = edges.gain_M[kept], keys.index(main)
  found[main].append(('next', number, source, target, gain))
  found[main].append(('previous', number, target, source, gain))


def _sorted(features: int, parts: list[tuple]) -> Links:
  """Sorts links by feature, kind, set and falling strength; keeps the first."""
  none = np.zeros(0, np.int64)
  column = lambda xs: np.concatenate([none, *xs])
  source = column([p[2] for p in parts]).astype(np.int64)
  kind = column([np.full(len(p[2]), KINDS.index(p[0])) for p in parts])
  set_ = column([np.full(len(p[2]), p[1]) for p in parts])
  target = column([p[3] for p in parts])
  value = np.concatenate(
    [np.zeros(0, np.float32), *(np.asarray(p[4], np.float32) for p in parts)]
  )
  order = np.lexsort((-value, set_, kind, source))
  group = np.stack([source, kind, set_], 1)[order]
  first = np.r_[True, (np.diff(group, axis=0) != 0).any(1)][: len(order)]
  begin = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
  order = order[np.arange(len(order)) - begin < _KEPT]
  return Links(
    of_F1=np.searchsorted(source[order], np.arange(features + 1)),
    kind_M=kind[order].astype(np.uint8),
    set_M=set_[order].astype(np.uint8),
    feature_M=target[order].astype(np.uint32),
    value_M=value[order],
  )
