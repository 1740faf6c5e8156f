"""Finds files by glob or folder, and reads lines of compressed files."""

import dataclasses
import glob
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zstandard

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import Skips

_READ_BYTES = 1 << 18
# The zstd tool writes windows of at most this size (`zstd --long=31`).
_MAX_WINDOW = 1 << 31


@dataclasses.dataclass(frozen=True)
class SourceFile:
  """A file to read.

  Attributes:
    path: absolute path.
    name: path relative to the common folder of all matched files.
  """

  path: Path
  name: str


def matched(patterns: tuple[str, ...]) -> list[SourceFile]:
  """Returns the files that match any of the globs, once each and sorted.

  Raises:
    UserError: a glob matches no file.
  """
  found: set[str] = set()
  for pattern in patterns:
    hits = glob.glob(os.path.expanduser(pattern), recursive=True)
    hits = [os.path.abspath(hit) for hit in hits if os.path.isfile(hit)]
    if not hits:
      raise UserError(
        f'text.paths: no file matches {pattern!r}. Check the path; it may '
        'contain wildcards and a leading ~, but no shell variables.'
      )
    found.update(hits)
  common = os.path.commonpath([os.path.dirname(path) for path in found])
  return [
    SourceFile(Path(path), os.path.relpath(path, common))
    for path in sorted(found)
  ]


def names(text: settings.Text, documents: int) -> dict[str, Any]:
  """The description of a source of files, see `sources.Source.description`."""
  del documents
  return {'files': [file.name for file in matched(text.paths)]}


def walk(
  root: Path,
  suffixes: frozenset[str],
  not_entered: frozenset[str] = frozenset(),
) -> Iterator[tuple[Path, str]]:
  """Yields (path, path relative to root) of regular files in sorted order.

  It does not follow symbolic links, so nothing outside `root` is read, and does
  not enter folders named in `not_entered`.
  """
  for folder, names, files in os.walk(root):
    names[:] = sorted(name for name in names if name not in not_entered)
    for name in sorted(files):
      path = Path(folder, name)
      if path.suffix in suffixes and stat.S_ISREG(path.lstat().st_mode):
        yield path, path.relative_to(root).as_posix()


def _zstd() -> Any:
  return zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()


def _gzip() -> Any:
  return zlib.decompressobj(wbits=31)


_DECOMPRESSORS: dict[str, Callable[[], Any]] = {'.zst': _zstd, '.gz': _gzip}


class _BrokenFileError(Exception):
  """A compressed file that ends early or cannot be decompressed."""


def _chunks(path: Path) -> Iterator[bytes]:
  """Yields the bytes of a file, decompressed by its suffix.

  A compressed file may contain several frames. They are handled here, since the
  libraries' streaming readers end silently at a truncated frame.
  """
  start = _DECOMPRESSORS.get(path.suffix)
  frame = None
  with open(path, 'rb') as file:
    while data := file.read(_READ_BYTES):
      if start is None:
        yield data
        continue
      while data:
        frame = frame or start()
        try:
          out = frame.decompress(data)
        except (zlib.error, zstandard.ZstdError) as e:
          raise _BrokenFileError('corrupt file') from e
        yield out
        if not frame.eof:
          break
        data, frame = frame.unused_data, None
  if frame is not None:
    raise _BrokenFileError('truncated file')


def lines(path: Path, skips: Skips) -> Iterator[tuple[int, bytes]]:
  """Yields (number from 1, bytes) of each line of a .jsonl, .zst or .gz file.

  For a truncated or corrupt file, it yields the complete lines before the
  damage and counts the file in `skips`.

  Raises:
    UserError: the file cannot be opened, or is damaged under `text.strict`.
  """
  number = 0
  # Pieces of the current line, whose end has not been read yet.
  rest: list[bytes] = []
  try:
    for chunk in _chunks(path):
      end, *starts = chunk.split(b'\n')
      rest.append(end)
      for start in starts:
        number += 1
        yield number, b''.join(rest)
        rest = [start]
  except _BrokenFileError as e:
    skips.bad(str(e), f'{path}, after line {number}')
    return
  except OSError as e:
    raise UserError(f'{path} cannot be read: {e.strerror}.') from e
  if any(rest):
    yield number + 1, b''.join(rest)
