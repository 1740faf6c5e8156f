"""Which token belongs to which document: columns, not objects.

Token numbers count one split's stream: all its documents in order, each
followed by its separator, before the contexts are permuted.
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
    start: int64 [documents + 1], number of each one's first token, then the
      number of tokens.
    subset: uint16 [documents], index into the store's subset names.
    digest: uint64 [documents], the first eight bytes of the text's SHA-256.
    origin_end: int64 [documents], where each one's origin ends in `origins`.
    origins: uint8, the UTF-8 of all origins.
  """

  start: np.ndarray
  subset: np.ndarray
  digest: np.ndarray
  origin_end: np.ndarray
  origins: np.ndarray

  @property
  def lengths(self) -> np.ndarray:
    """Returns int64 [documents], tokens of each one and its separator."""
    return np.diff(self.start)

  def origin(self, document: int) -> str:
    """Returns where a document comes from."""
    begin = int(self.origin_end[document - 1]) if document else 0
    end = int(self.origin_end[document])
    return self.origins[begin:end].tobytes().decode('utf-8')

  def document_of(self, token: np.ndarray | np.integer) -> np.ndarray:
    """Returns the document of each token number, int64 of the same shape."""
    return np.searchsorted(self.start, token, side='right') - 1

  def columns(self, prefix: str) -> dict[str, np.ndarray]:
    """Returns the arrays by the names a file holds them under."""
    return {
      f'{prefix}_{field.name}': getattr(self, field.name)
      for field in dataclasses.fields(self)
    }

  @classmethod
  def from_columns(
    cls, columns: Mapping[str, np.ndarray], prefix: str
  ) -> 'DocumentTable':
    """Inverts `columns`."""
    names = [field.name for field in dataclasses.fields(cls)]
    return cls(**{name: columns[f'{prefix}_{name}'] for name in names})


class TableBuilder:
  """Grows a `DocumentTable` in memory, some 30 bytes a document."""

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
    """Appends a document of `tokens` tokens, its separator among them."""
    self._start.append(self._start[-1] + tokens)
    try:
      self._subset.append(subset)
    except OverflowError as e:
      raise UserError(
        'text.subset_field names a field of more than 65,536 different values: '
        'name one that groups documents, or an absent one for no groups.'
      ) from e
    self._digest.append(digest)
    # A file name need not be UTF-8.
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
