"""Packed contexts in ArrayRecord files.

A record holds K contexts of T tokens: K numbers of the contexts in the stream
before it was permuted (int64), then K*T tokens (uint16), all little-endian.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from array_record.python import array_record_module

from monosem_jax.config.errors import UserError

# One record a chunk, so that one is read without its neighbours. Random reads
# of 64 contexts of 256 tokens on one core: 3.8 million contexts/s uncompressed,
# 1.4 million with zstd at half the size. The disk is the cheaper of the two.
_WRITER_OPTIONS = 'group_size:1,uncompressed'
# The library's own advice for random access.
_READER_OPTIONS = 'readahead_buffer_size:0,max_parallelism:0'
SHARD_BYTES = 256 << 20


def record_bytes(contexts: int, context: int) -> int:
  """Returns the size of a record of `contexts` contexts."""
  return contexts * (8 + 2 * context)


def write_shard(path: Path, records: Iterator[bytes]) -> None:
  """Writes one file.

  Raises:
    OSError or RuntimeError: the file cannot be written.
  """
  writer = array_record_module.ArrayRecordWriter(str(path), _WRITER_OPTIONS)
  for record in records:
    writer.write(record)
  # Reports a write that failed before it, too.
  writer.close()


def packed(
  tokens: np.ndarray, order: np.ndarray, contexts: int
) -> Iterator[bytes]:
  """Yields the records of the contexts `order` lists.

  Args:
    tokens: uint16 [stream contexts, T], may lie on disk.
    order: int64 [a multiple of `contexts`], rows of `tokens`.
    contexts: K, contexts of a record.
  """
  for rows in order.reshape(-1, contexts):
    yield rows.astype('<i8').tobytes() + tokens[rows].astype('<u2').tobytes()


class RecordReader:
  """Random access to the records of several files; safe across threads."""

  def __init__(
    self, files: Sequence[tuple[Path, int]], contexts: int, context: int
  ):
    """Opens nothing yet.

    Args:
      files: each path and its number of records, in order.
      contexts: K.
      context: T.
    """
    self._paths = [path for path, _ in files]
    self._ends = np.cumsum([count for _, count in files])
    self._contexts, self._context = contexts, context
    self._readers: dict[int, array_record_module.ArrayRecordReader] = {}
    self._lock = threading.Lock()

  def __len__(self) -> int:
    return int(self._ends[-1])

  def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (tokens uint16 [K, T], stream_index int64 [K]) of a record.

    Raises:
      IndexError: no such record.
      UserError: the file is gone, cut short or corrupt.
    """
    if not 0 <= index < len(self):
      raise IndexError(f'record {index} of {len(self)}')
    number = int(np.searchsorted(self._ends, index, side='right'))
    path = self._paths[number]
    first = int(self._ends[number - 1]) if number else 0
    try:
      record = self._reader(number).read([index - first])[0]
    except (RuntimeError, IndexError, OSError) as e:
      raise _damaged(path) from e
    # A file cut short while it is open gives back short records.
    if len(record) != record_bytes(self._contexts, self._context):
      raise _damaged(path)
    stream_index = np.frombuffer(record, '<i8', self._contexts)
    tokens = np.frombuffer(record, '<u2', offset=8 * self._contexts)
    return tokens.reshape(self._contexts, self._context), stream_index

  def _reader(self, number: int) -> array_record_module.ArrayRecordReader:
    with self._lock:
      if number not in self._readers:
        path = self._paths[number]
        reader = array_record_module.ArrayRecordReader(
          str(path), _READER_OPTIONS
        )
        # A missing file does not raise.
        if not reader.ok():
          raise _damaged(path)
        self._readers[number] = reader
      return self._readers[number]


def _damaged(path: Path) -> UserError:
  return UserError(
    f'{path} is missing, cut short or corrupt. Put it back and start again '
    'with the same command, or remove its folder and run the tokens stage '
    'again.'
  )
