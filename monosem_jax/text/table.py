"""The documents of a split, and which token belongs to which.

Token indices refer to the stream of a split: all its documents in order, each
followed by a separator, before contexts are permuted.
"""

import dataclasses
from array import array
from collections.abc import Mapping

import numpy as np

from monosem_jax.config.errors import UserError


@dataclasses.dataclass(frozen=True)
class DocumentTable:
  """One split's documents, in stream order.

  Attributes:
    start_J: index of each document's first token, then the number of tokens,
      int64.
    subset_D: index of its subset in the store's subset names, uint16.
    digest_D: first eight bytes of the SHA-256 of its text, uint64.
    origin_end_D: end of its origin in `origins_U`, int64.
    origins_U: origins of all documents, as UTF-8, uint8.
  """

  start_J: np.ndarray
  subset_D: np.ndarray
  digest_D: np.ndarray
  origin_end_D: np.ndarray
  origins_U: np.ndarray

  @property
  def length_D(self) -> np.ndarray:
    """Number of tokens of each document and its separator, int64."""
    return np.diff(self.start_J)

  def origin(self, document: int) -> str:
    """Returns where a document is from."""
    begin = int(self.origin_end_D[document - 1]) if document else 0
    end = int(self.origin_end_D[document])
    return self.origins_U[begin:end].tobytes().decode('utf-8')

  def document_of(self, token_X: np.ndarray | np.integer) -> np.ndarray:
    """Returns document_X, the document of each token, int64."""
    return np.searchsorted(self.start_J, token_X, side='right') - 1

  def columns(self, prefix: str) -> dict[str, np.ndarray]:
    """Returns the arrays by their names in a file."""
    return {
      f'{prefix}_{column}': getattr(self, name)
      for name, column in _columns().items()
    }

  @classmethod
  def from_columns(
    cls, columns: Mapping[str, np.ndarray], prefix: str
  ) -> 'DocumentTable':
    """Inverts `columns`."""
    return cls(
      **{
        name: columns[f'{prefix}_{column}']
        for name, column in _columns().items()
      }
    )


def _columns() -> dict[str, str]:
  """The column of each field in a file: its name without the shape."""
  names = [field.name for field in dataclasses.fields(DocumentTable)]
  return {name: name.rpartition('_')[0] for name in names}


class TableBuilder:
  """Builds a `DocumentTable` in memory, with some 30 bytes per document."""

  def __init__(self) -> None:
    self._start = array('q', [0])
    self._subset = array('H')
    self._digest = array('Q')
    self._origin_end = array('q')
    self._origins = bytearray()

  @property
  def documents(self) -> int:
    return len(self._digest)

  @property
  def tokens(self) -> int:
    return self._start[-1]

  def add(self, tokens: int, subset: int, digest: int, origin: str) -> None:
    """Appends a document of `tokens` tokens, including its separator."""
    self._start.append(self._start[-1] + tokens)
    try:
      self._subset.append(subset)
    except OverflowError as e:
      raise UserError(
        'text.subset_field: the field has more than 65,536 different values. '
        'Name a field that groups documents, or one that does not exist for no '
        'subsets.'
      ) from e
    self._digest.append(digest)
    # A file name may not be valid UTF-8.
    self._origins += origin.encode('utf-8', 'backslashreplace')
    self._origin_end.append(len(self._origins))

  def build(self) -> DocumentTable:
    return DocumentTable(
      np.array(self._start, '<i8'),
      np.array(self._subset, '<u2'),
      np.array(self._digest, '<u8'),
      np.array(self._origin_end, '<i8'),
      np.frombuffer(bytes(self._origins), np.uint8),
    )
