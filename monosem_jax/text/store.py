"""The packed token store: contexts by record, and where each token is from."""

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
  """Where one token stands.

  Attributes:
    document: number in its split.
    subset: its document's subset.
    offset: number of the token in its document; the separator is the last.
    origin: file and line or the like.
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
    directory: where it lies.
    manifest: what it holds; `manifest['sha256']` identifies its content.
    tokenizer: the tokenizer of its tokens.
    tables: the documents of each split.
    readers: the records of each split.
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
        f'{directory / manifests.TOKENIZER} is not the tokenizer the store was '
        'written with. Remove the folder and run the tokens stage again.'
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
    """T, tokens of a context."""
    return self.manifest['context']

  @property
  def contexts_per_record(self) -> int:
    return self.manifest['contexts_per_record']

  @property
  def subset_names(self) -> list[str]:
    return self.manifest['subset_names']

  def n_contexts(self, split: str) -> int:
    """Returns how many contexts a split holds, whole records of them."""
    return len(self.readers[split]) * self.contexts_per_record

  def read(self, split: str, record: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns one record: contexts `record * K` to `(record + 1) * K`.

    Returns:
      tokens: uint16 [K, T].
      stream_index: int64 [K], each one's number in the unpermuted stream.

    Raises:
      IndexError: no such record.
      UserError: its file is gone, cut short or corrupt.
    """
    return self.readers[split].read(record)

  def tokens(self, split: str, context: np.ndarray) -> np.ndarray:
    """Returns int32 [len(context), T], contexts by their number in the store.

    A run of contexts of one record is read at once.

    Raises:
      IndexError: no such context.
      UserError: a file is gone, cut short or corrupt.
    """
    tokens = np.empty((len(context), self.context), np.int32)
    record, slot = np.divmod(context, self.contexts_per_record)
    borders = np.flatnonzero(np.diff(record)) + 1
    for rows in np.split(np.arange(len(context)), borders):
      if len(rows):
        found, _ = self.read(split, int(record[rows[0]]))
        tokens[rows] = found[slot[rows]]
    return tokens

  def stream_index(self, split: str, context: np.ndarray) -> np.ndarray:
    """Returns int64, the number in the stream of each context of the store.

    Reads every record that holds one of them.
    """
    record, slot = np.divmod(context, self.contexts_per_record)
    needed, inverse = np.unique(record, return_inverse=True)
    found = np.stack([self.read(split, int(index))[1] for index in needed])
    return found[inverse.reshape(slot.shape), slot]

  def document_of(
    self, split: str, stream_index: np.ndarray, position: np.ndarray
  ) -> np.ndarray:
    """Returns the document of each token, int64; the arguments broadcast."""
    token = np.asarray(stream_index, np.int64) * self.context + position
    return self.tables[split].document_of(token)

  def document_subset(self, split: str) -> np.ndarray:
    """Returns uint16 [documents], indices into `subset_names`."""
    return self.tables[split].subset

  def locate(self, split: str, stream_index: int, position: int) -> Place:
    """Returns where the token at a position of a context stands."""
    table = self.tables[split]
    token = int(stream_index) * self.context + int(position)
    document = int(table.document_of(np.int64(token)))
    return Place(
      document=document,
      subset=self.subset_names[table.subset[document]],
      offset=token - int(table.start[document]),
      origin=table.origin(document),
      digest=int(table.digest[document]),
    )
