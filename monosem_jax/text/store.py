"""The packed token store: contexts by record, and the origin of each token."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.text import manifest as manifests
from monosem_jax.text.records import RecordReader
from monosem_jax.text.table import DocumentTable
from monosem_jax.text.tokenizer import Tokenizer
from monosem_jax.text.write import write_store

__all__ = ['Place', 'TokenStore', 'write_store']


@dataclasses.dataclass(frozen=True)
class Place:
  """The origin of one token.

  Attributes:
    document: index of its document in the split.
    subset: subset of the document.
    offset: index of the token in the document; the separator is the last.
    origin: where the document is from, such as file and line.
    digest: first eight bytes of the SHA-256 of the document's text.
  """

  document: int
  subset: str
  offset: int
  origin: str
  digest: int


@dataclasses.dataclass(frozen=True)
class TokenStore:
  """A store opened for reading; safe across threads.

  Attributes:
    directory: folder of the store.
    manifest: description of its content, identified by `manifest['sha256']`.
    tokenizer: the tokenizer of its tokens.
    tables: documents of each split.
    readers: records of each split.
  """

  directory: Path
  manifest: dict[str, Any]
  tokenizer: Tokenizer
  tables: dict[str, DocumentTable]
  readers: dict[str, RecordReader]

  @classmethod
  def open(cls, directory: str | Path) -> 'TokenStore':
    """Opens a store that `write_store` wrote.

    Raises:
      UserError: the store is missing, incomplete or corrupt.
    """
    directory = Path(directory)
    manifest = manifests.load(directory)
    tokenizer = Tokenizer.load(directory / manifests.TOKENIZER)
    if tokenizer.sha256 != manifest['tokenizer']['sha256']:
      raise UserError(
        f'{directory / manifests.TOKENIZER} is not the tokenizer with which '
        'the store was written. Remove the folder and run the tokens stage '
        'again.'
      )
    tables = manifests.load_tables(directory)
    readers = {}
    for split in manifests.SPLITS:
      files = [
        (directory / file['name'], file['records'])
        for file in manifest['splits'][split]['files']
      ]
      readers[split] = RecordReader(
        files, manifest['contexts_per_record'], manifest['context']
      )
    return cls(directory, manifest, tokenizer, tables, readers)

  @property
  def context(self) -> int:
    """T, the number of tokens per context."""
    return self.manifest['context']

  @property
  def contexts_per_record(self) -> int:
    """K, the number of contexts per record."""
    return self.manifest['contexts_per_record']

  @property
  def subset_names(self) -> list[str]:
    return self.manifest['subset_names']

  def n_contexts(self, split: str) -> int:
    """Returns the number of contexts of a split, which fill whole records."""
    return len(self.readers[split]) * self.contexts_per_record

  def read(self, split: str, record: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads one record: contexts `record * K` to `(record + 1) * K`.

    Returns:
      tokens_KT, uint16, and stream_index_K, the index of each context in the
      stream before it was permuted, int64.

    Raises:
      IndexError: there is no such record.
      UserError: its file is missing, truncated or corrupt.
    """
    return self.readers[split].read(record)

  def tokens(self, split: str, context_B: np.ndarray) -> np.ndarray:
    """Returns tokens_BT, int32, of contexts by their index in the store.

    Adjacent contexts of the same record are read at once.

    Raises:
      IndexError: there is no such context.
      UserError: a file is missing, truncated or corrupt.
    """
    tokens_BT = np.empty((len(context_B), self.context), np.int32)
    record_B, slot_B = np.divmod(context_B, self.contexts_per_record)
    borders = np.flatnonzero(np.diff(record_B)) + 1
    for at_b in np.split(np.arange(len(context_B)), borders):
      if len(at_b):
        tokens_KT, _ = self.read(split, int(record_B[at_b[0]]))
        tokens_BT[at_b] = tokens_KT[slot_B[at_b]]
    return tokens_BT

  def stream_index(self, split: str, context_X: np.ndarray) -> np.ndarray:
    """Returns stream_index_X, int64, of contexts by their index in the store.

    It is the index in the stream before that was permuted. Every record with
    one of the contexts is read.
    """
    record_X, slot_X = np.divmod(context_X, self.contexts_per_record)
    needed_R, at_X = np.unique(record_X, return_inverse=True)
    index_RK = np.stack([self.read(split, int(r))[1] for r in needed_R])
    return index_RK[at_X.reshape(slot_X.shape), slot_X]

  def document_of(
    self, split: str, stream_index_X: np.ndarray, position_X: np.ndarray
  ) -> np.ndarray:
    """Returns the document of each token, int64; the arguments broadcast."""
    index_X = np.asarray(stream_index_X, np.int64)
    return self.tables[split].document_of(index_X * self.context + position_X)

  def document_subset(self, split: str) -> np.ndarray:
    """Returns subset_D, uint16, indices into `subset_names`."""
    return self.tables[split].subset_D

  def locate(self, split: str, stream_index: int, position: int) -> Place:
    """Returns the origin of the token at a position of a context."""
    table = self.tables[split]
    token = int(stream_index) * self.context + int(position)
    document = int(table.document_of(np.int64(token)))
    return Place(
      document=document,
      subset=self.subset_names[table.subset_D[document]],
      offset=token - int(table.start_J[document]),
      origin=table.origin(document),
      digest=int(table.digest_D[document]),
    )
