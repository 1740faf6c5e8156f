"""Packs: named arrays and a JSON value in one compressed file.

A pack, before gzip, is

  4 bytes   length of the header, little-endian
  header    JSON: {"build", "meta", "columns": {name: [dtype, shape, offset]}}
  columns   row-major, little-endian, of the dtypes below; each begins at a
            multiple of 8 from the file's beginning. In all dtypes but u2 the
            bytes are in planes: first the lowest byte of every entry, then the
            next, ..., which compresses better. u2 columns, mostly token ids,
            compress better as they are.

A page opened by double click may load scripts but may not fetch files. So a
pack is stored as a script, NAME.js: one call, whose argument is the gzipped
bytes as a string in windows-1252. In that encoding all but four bytes stand for
themselves, and the file grows by 1.6%. The page either loads the script and
names its encoding, or fetches it and cuts the bytes out. Gzip's checksum finds
a truncated or altered pack; `build` finds one from another export.
"""

import base64
import dataclasses
import gzip
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

DTYPES = ('u1', 'u2', 'u4', 'i4', 'f2', 'f4')
# Not split into planes.
_WHOLE = 'u2'
_ALIGN = 8
_END = b'");\n'
# Bytes that would end the string, or a line in it.
_ESCAPED = {b'\\': b'\\\\', b'"': b'\\"', b'\n': b'\\n', b'\r': b'\\r'}
_ESCAPE = re.compile(rb'\\(.)')


def dumps(value: Any) -> str:
  """JSON in ASCII, because UTF-8 cannot encode half of a surrogate pair.

  Raises:
    ValueError: NaN or infinity, which JSON cannot express.
  """
  return json.dumps(
    value, ensure_ascii=True, allow_nan=False, separators=(',', ':')
  )


def half(x: np.ndarray) -> np.ndarray:
  """Numbers as float16, which keeps the 3 digits that the page shows."""
  return np.asarray(x, np.float16)


def pack(build: str, meta: Any, columns: Mapping[str, np.ndarray]) -> bytes:
  """The bytes of a pack; equal values give equal bytes.

  Raises:
    ValueError: a column has a dtype that the page cannot read.
  """
  arrays = {name: _plain(name, x) for name, x in columns.items()}
  places, at = {}, 0
  for name, x in arrays.items():
    places[name] = [x.dtype.str[1:], list(x.shape), at]
    at += _padded(x.nbytes)
  header = dumps({'build': build, 'meta': meta, 'columns': places}).encode()
  header += b' ' * (_padded(4 + len(header)) - 4 - len(header))
  parts = [len(header).to_bytes(4, 'little'), header]
  for x in arrays.values():
    parts += [_planes(x), bytes(_padded(x.nbytes) - x.nbytes)]
  return gzip.compress(b''.join(parts), compresslevel=6, mtime=0)


def unpack(data: bytes) -> tuple[str, Any, dict[str, np.ndarray]]:
  """Returns what `pack` was given: build, meta and columns."""
  raw = gzip.decompress(data)
  start = 4 + int.from_bytes(raw[:4], 'little')
  header = json.loads(raw[4:start])
  columns = {}
  for name, (dtype, shape, at) in header['columns'].items():
    width, size = int(dtype[1]), int(np.prod(shape, dtype=np.int64))
    byte = np.frombuffer(raw, np.uint8, width * size, start + at)
    if dtype != _WHOLE:
      byte = np.ascontiguousarray(byte.reshape(width, size).T)
    columns[name] = byte.reshape(-1).view(f'<{dtype}').reshape(shape)
  return header['build'], header['meta'], columns


def script(name: str, data: bytes) -> bytes:
  """The bytes of NAME.js."""
  for byte, escape in _ESCAPED.items():
    data = data.replace(byte, escape)
  return _call(name) + data + _END


def unscript(name: str, text: bytes) -> bytes:
  """The pack inside NAME.js.

  Raises:
    ValueError: the script is incomplete.
  """
  start = _call(name)
  if not (text.startswith(start) and text.endswith(_END)):
    raise ValueError(f'{name}.js is incomplete.')
  byte = {escape[1:]: byte for byte, escape in _ESCAPED.items()}
  inside = text[len(start) : -len(_END)]
  return _ESCAPE.sub(lambda match: byte[match[1]], inside)


def _call(name: str) -> bytes:
  return f'monosem.data.arrived({dumps(name)},"'.encode('ascii')


def inline(name: str, data: bytes) -> str:
  """The same call for a page in any encoding: in base64, a third larger."""
  text = base64.b64encode(data).decode('ascii')
  return f'monosem.data.arrived({dumps(name)},atob("{text}"));\n'


@dataclasses.dataclass(frozen=True)
class Writer:
  """Writes packs below a folder.

  Attributes:
    directory: the folder.
    build: identifies the export that all of them belong to.
  """

  directory: pathlib.Path
  build: str

  def write(
    self, name: str, meta: Any, columns: Mapping[str, np.ndarray] | None = None
  ) -> None:
    """Writes a pack; `name` is its path below the folder, without a suffix."""
    path = self.directory / f'{name}.js'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(script(name, pack(self.build, meta, columns or {})))


def _plain(name: str, x: np.ndarray) -> np.ndarray:
  x = np.ascontiguousarray(x)
  if x.dtype.str[1:] not in DTYPES:
    known = ', '.join(DTYPES)
    raise ValueError(f'column {name}: {x.dtype}; the page reads {known} only.')
  return x.astype(x.dtype.newbyteorder('<'), copy=False)


def _planes(x: np.ndarray) -> bytes:
  if x.dtype.str[1:] == _WHOLE:
    return x.tobytes()
  return x.reshape(-1).view(np.uint8).reshape(x.size, x.itemsize).T.tobytes()


def _padded(size: int) -> int:
  return -(-size // _ALIGN) * _ALIGN
