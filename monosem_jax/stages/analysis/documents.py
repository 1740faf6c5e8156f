"""Halves of the documents to choose and report on, and groups for intervals.

Both follow from the hash of a document's text. So equal documents are in the
same half and group, in every run.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from monosem_jax.text.store import TokenStore

# The number of groups that intervals resample.
GROUPS = 64


def halves(store: TokenStore, split: str, context_B: np.ndarray) -> np.ndarray:
  """Returns the half of the documents that each context belongs to.

  0 or 1, or -1 if the context holds documents of both halves.
  """
  half_BT = (_digest(store, split, context_B) >> 20) & 1
  first_B = half_BT[:, 0].astype(np.int64)
  return np.where((half_BT == half_BT[:, :1]).all(1), first_B, -1)


def groups(store: TokenStore, split: str, context_B: np.ndarray) -> np.ndarray:
  """Returns the group of each token's document: group_BT, int32."""
  group_BT = (_digest(store, split, context_B) >> 24) % GROUPS
  return group_BT.astype(np.int32)


def _digest(store: TokenStore, split: str, context_B: np.ndarray) -> np.ndarray:
  """Returns the hash of each token's document: uint64, [B, T]."""
  index_B = store.stream_index(split, np.asarray(context_B))
  at_T = np.arange(store.context)
  document_BT = store.document_of(split, index_B[:, None], at_T)
  return store.tables[split].digest_D[document_BT]


def regrouped(
  parts: Iterable[tuple[np.ndarray, ...]], size: int
) -> Iterator[tuple[np.ndarray, ...]]:
  """Regroups rows into parts of `size` rows.

  The last part is dropped if it is smaller, unless it is the only one.
  """
  kept, whole = None, False
  for part in parts:
    kept = part if kept is None else tuple(map(_joined, kept, part))
    if len(kept[0]) >= size:
      yield tuple(x[:size] for x in kept)
      kept, whole = tuple(x[size:] for x in kept), True
  if not whole and kept is not None and len(kept[0]):
    yield kept


def _joined(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  return np.concatenate([x, y])
