"""Files by globs and by folders, and the lines of plain and compressed ones."""

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
# `zstd --long=31` is the widest window the format's own tool writes.
_MAX_WINDOW = 1 << 31


@dataclasses.dataclass(frozen=True)
class SourceFile:
  """A file to read; `name` is relative to what the matched files share."""

  path: Path
  name: str


def matched(patterns: tuple[str, ...]) -> list[SourceFile]:
  """Returns the files that globs match, each once, in sorted order.

  Raises:
    UserError: a glob matches no file.
  """
  found: set[str] = set()
  for pattern in patterns:
    hits = glob.glob(os.path.expanduser(pattern), recursive=True)
    hits = [os.path.abspath(hit) for hit in hits if os.path.isfile(hit)]
    if not hits:
      raise UserError(
        f'text.paths: no file matches {pattern!r}. Check the path; a shell '
        'does not expand it here.'
      )
    found.update(hits)
  common = os.path.commonpath([os.path.dirname(path) for path in found])
  return [
    SourceFile(Path(path), os.path.relpath(path, common))
    for path in sorted(found)
  ]


def names(text: settings.Text, documents: int) -> dict[str, Any]:
  """What a source of files says of itself, see `sources.Source.description`."""
  del documents
  return {'files': [file.name for file in matched(text.paths)]}


def walk(
  root: Path,
  suffixes: frozenset[str],
  not_entered: frozenset[str] = frozenset(),
) -> Iterator[tuple[Path, str]]:
  """Yields (path, path relative to root) of regular files in sorted order.

  No symbolic link is followed, so nothing outside `root` is read; nor is a
  folder of a name in `not_entered`.
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

  A compressed file may hold several frames. We go through them ourselves:
  the streaming readers end silently where a frame is cut short.
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

  Of a file that breaks off, the complete lines before the break are yielded
  and the file is counted.

  Raises:
    UserError: the file cannot be opened, or breaks off under `text.strict`.
  """
  number = 0
  # Pieces of the line that has not ended yet.
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
