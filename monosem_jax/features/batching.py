"""Groups examples by context, so that one pass serves all of a context."""

from collections.abc import Iterator

import numpy as np

# Maximum number of examples of a row.
PER_ROW = 128


def by_context(
  context_M: np.ndarray, wanted_M: np.ndarray, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
  """Batches examples so that each row holds examples of a single context.

  Args:
    context_M: the context of each example.
    wanted_M: whether to include each example.
    batch_size: B, rows per batch.

  Yields:
    example_Bn, indices of examples; valid_Bn, whether an entry is used (unused
    entries repeat an arbitrary example); the rows done; and the total number of
    rows.
  """
  wanted = np.flatnonzero(wanted_M)
  wanted = wanted[np.argsort(context_M[wanted], kind='stable')]
  rows = _spans(context_M[wanted], PER_ROW)
  for first in range(0, len(rows), batch_size):
    which_Bn = np.full((batch_size, PER_ROW), -1)
    for b, (begin, end) in enumerate(rows[first : first + batch_size]):
      which_Bn[b, : end - begin] = np.arange(begin, end)
    done = min(first + batch_size, len(rows))
    yield wanted[np.maximum(which_Bn, 0)], which_Bn >= 0, done, len(rows)


def _spans(context: np.ndarray, longest: int) -> list[tuple[int, int]]:
  """Cuts sorted contexts into spans of one context, at most so long."""
  borders = np.flatnonzero(np.diff(context, prepend=-1))
  rows = []
  for begin, end in zip(borders, [*borders[1:], context.size], strict=True):
    rows += [(i, min(i + longest, end)) for i in range(begin, end, longest)]
  return rows
