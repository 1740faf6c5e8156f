"""Packs: named arrays and a JSON value in one compressed file.

A pack, before gzip, is

  4 bytes   length of the header, little-endian
  header    JSON: {"build", "meta", "columns": {name: [dtype, shape, offset]}}
  columns   each at a multiple of 8 from the file's beginning, row-major,
            little-endian, of the dtypes below; u2, mostly ids, as they are, of
            the others first all lowest bytes, and so on, which gzip likes

A page opened by double click may load scripts but fetch nothing, so a pack's
file is a script, NAME.js: one call with the gzipped bytes as a string, whose
characters are bytes as windows-1252 has them (any byte but four stands for
itself: 1.6% more). As a script it must be said to be of that encoding; as it is
fetched, the call is taken off. Gzip's checksum finds what is cut off or
altered; `build` what is of another export.
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
_AS_THEY_ARE = 'u2'
_ALIGN = 8
_END = b'");\n'
# What would end the string, or a line in it.
_ESCAPED = {b'\\': b'\\\\', b'"': b'\\"', b'\n': b'\\n', b'\r': b'\\r'}
_ESCAPE = re.compile(rb'\\(.)')


def dumps(value: Any) -> str:
  """JSON in ASCII, so that no half of a surrogate pair reaches a decoder.

  Raises:
    ValueError: NaN or infinity, which JSON does not know.
  """
  return json.dumps(
    value, ensure_ascii=True, allow_nan=False, separators=(',', ':')
  )


def half(x: np.ndarray) -> np.ndarray:
  """Numbers with the 3 digits that a person reads off a page."""
  return np.asarray(x, np.float16)


def pack(build: str, meta: Any, columns: Mapping[str, np.ndarray]) -> bytes:
  """A pack's bytes: the same for the same values.

  Raises:
    ValueError: a column's dtype is none that the page reads.
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
  """What `pack` was given: build, meta and columns."""
  raw = gzip.decompress(data)
  start = 4 + int.from_bytes(raw[:4], 'little')
  header = json.loads(raw[4:start])
  columns = {}
  for name, (dtype, shape, at) in header['columns'].items():
    width, size = int(dtype[1]), int(np.prod(shape, dtype=np.int64))
    byte = np.frombuffer(raw, np.uint8, width * size, start + at)
    if dtype != _AS_THEY_ARE:
      byte = np.ascontiguousarray(byte.reshape(width, size).T)
    columns[name] = byte.reshape(-1).view(f'<{dtype}').reshape(shape)
  return header['build'], header['meta'], columns


def script(name: str, data: bytes) -> bytes:
  """The bytes of NAME.js."""
  for byte, escape in _ESCAPED.items():
    data = data.replace(byte, escape)
  return _call(name) + data + _END


def unscript(name: str, text: bytes) -> bytes:
  """The pack that NAME.js holds.

  Raises:
    ValueError: it is not whole.
  """
  start = _call(name)
  if not (text.startswith(start) and text.endswith(_END)):
    raise ValueError(f'{name}.js is not whole.')
  byte = {escape[1:]: byte for byte, escape in _ESCAPED.items()}
  inside = text[len(start) : -len(_END)]
  return _ESCAPE.sub(lambda match: byte[match[1]], inside)


def _call(name: str) -> bytes:
  return f'monosem.data.arrived({dumps(name)},"'.encode('ascii')


def inline(name: str, data: bytes) -> str:
  """The same call for a page of any encoding: base64, a third more."""
  text = base64.b64encode(data).decode('ascii')
  return f'monosem.data.arrived({dumps(name)},atob("{text}"));\n'


@dataclasses.dataclass(frozen=True)
class Writer:
  """Writes packs below a folder.

  Attributes:
    directory: the folder.
    build: names the export that all of them are of.
  """

  directory: pathlib.Path
  build: str

  def write(
    self, name: str, meta: Any, columns: Mapping[str, np.ndarray] | None = None
  ) -> None:
    """Writes a pack; `name` is a path below the folder, without an ending."""
    path = self.directory / f'{name}.js'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(script(name, pack(self.build, meta, columns or {})))


def _plain(name: str, x: np.ndarray) -> np.ndarray:
  x = np.ascontiguousarray(x)
  if x.dtype.str[1:] not in DTYPES:
    raise ValueError(f'column {name}: {x.dtype} is none of {DTYPES}.')
  return x.astype(x.dtype.newbyteorder('<'), copy=False)


def _planes(x: np.ndarray) -> bytes:
  if x.dtype.str[1:] == _AS_THEY_ARE:
    return x.tobytes()
  return x.reshape(-1).view(np.uint8).reshape(x.size, x.itemsize).T.tobytes()


def _padded(size: int) -> int:
  return -(-size // _ALIGN) * _ALIGN
