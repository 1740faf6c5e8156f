"""Which documents tokens are of: halves to choose and report on, and groups.

Both are told by the hash of a document's text, so that a document, and what is
the same text, is of one half and one group in every run.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from monosem_jax.text.store import TokenStore

# Groups of documents that intervals are drawn over.
GROUPS = 64


def halves(store: TokenStore, split: str, context_B: np.ndarray) -> np.ndarray:
  """Which half of the documents each context is of: 0, 1, or -1 of both.

  What is chosen on one half and reported on the other is therefore reported on
  other documents. Contexts in which documents of both halves meet are of
  neither.
  """
  half_BT = (_digest(store, split, context_B) >> 20) & 1
  first_B = half_BT[:, 0].astype(np.int64)
  return np.where((half_BT == half_BT[:, :1]).all(1), first_B, -1)


def groups(store: TokenStore, split: str, context_B: np.ndarray) -> np.ndarray:
  """The group of each token's document, 0 .. GROUPS - 1: group_BT, int32."""
  group_BT = (_digest(store, split, context_B) >> 24) % GROUPS
  return group_BT.astype(np.int32)


def _digest(store: TokenStore, split: str, context_B: np.ndarray) -> np.ndarray:
  """The hash of the document of every token of some contexts, uint64 BT."""
  index_B = store.stream_index(split, np.asarray(context_B))
  at_T = np.arange(store.context)
  document_BT = store.document_of(split, index_B[:, None], at_T)
  return store.tables[split].digest_D[document_BT]


def regrouped(
  parts: Iterable[tuple[np.ndarray, ...]], size: int
) -> Iterator[tuple[np.ndarray, ...]]:
  """The rows of parts, `size` at a time; a last few are left out, unless they
  are all there are."""
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
