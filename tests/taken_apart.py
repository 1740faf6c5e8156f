"""Packs of a page, taken apart by hand."""

import ast
import functools
import gzip
import json
import pathlib
import re

import numpy as np
import program
from exhibits import write


def read(page: pathlib.Path, name: str):
  """Meta and columns of a pack, taken apart by hand."""
  script = (page / f'data/{name}.js').read_bytes()
  call = re.fullmatch(rb'monosem\.data\.arrived\("(.*?)","(.*)"\);\n', script)
  assert call[1].decode() == name
  # A string of JavaScript with these four escapes is one of Python, too.
  text = ast.literal_eval(
    f'"{call[2].decode("latin-1")}"'.replace('\0', r'\x00')
  )
  raw = gzip.decompress(text.encode('latin-1'))
  length = int.from_bytes(raw[:4], 'little')
  header = json.loads(raw[4 : 4 + length])
  assert header['build'] == '0123456789abcdef'
  columns = {}
  for column, (dtype, shape, at) in header['columns'].items():
    assert (4 + length + at) % 8 == 0
    size, width = int(np.prod(shape)), int(dtype[1])
    if dtype == 'u2':
      x = np.frombuffer(raw, '<u2', size, 4 + length + at)
    else:
      # Byte b of number i stands at b * size + i.
      data = raw[4 + length + at :][: size * width]
      whole = bytes(
        data[b * size + i] for i in range(size) for b in range(width)
      )
      x = np.frombuffer(whole, '<' + dtype)
    columns[column] = x.reshape(shape)
  return header['meta'], columns


def halves(x: np.ndarray) -> np.ndarray:
  assert x.dtype == np.float16
  return x.astype(np.float64)


@functools.cache
def exported() -> pathlib.Path:
  """The page of two sets, with all their views."""

  def make(folder):
    keys = ('A1', 'A2')
    write(folder / 'site', scratch=folder / 'analysis', keys=keys)

  return program.once('page', make) / 'site'


def effects_of(part) -> dict[int, dict]:
  """Effects by the token of the shard that each is on, as effects.py says."""
  found, m = {}, 0
  for n in range(len(part['effect_of']) - 1):
    token = int(part['token_of'][part['example_of'][n]])
    while m < part['effect_of'][n + 1]:
      token += int(part['effect_gap'][m])
      found[token] = {'loss': float(part['effect_loss'][m])}
      for side, sign in (('raised', 1), ('lowered', -1)):
        column = lambda name, side=side: part[f'effect_{side}_{name}']
        value, pairs = sign * float(column('most')[n]), []
        down = 0
        for place, step in zip(
          column('place')[:, m], column('steps')[:, m], strict=True
        ):
          down += int(step)
          own = column('ids')[column('of')[n] + place]
          pairs.append((own, value * 2 ** (-down / 16) * (down < 255)))
        found[token][side] = pairs
      m += 1
  return found
