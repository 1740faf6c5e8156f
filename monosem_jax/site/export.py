"""Writes the page. Imports no jax: it reads tables and writes text.

  site/index.html
  site/static/           scripts and styles, as they are in this package
  site/data/vocabulary.js
  site/data/index.js     every dictionary: numbers, and the list's columns
  site/data/A1/0000.js   64 features each, loaded when one of them is opened

The data are scripts that call one function with JSON, because a page opened by
double click may load scripts but fetch nothing.
"""

import contextlib
import json
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from monosem_jax.errors import UserError, full_disk
from monosem_jax.site import encode

if TYPE_CHECKING:
  from monosem_jax.features.table import FeatureTable

# Features of a shard: one click loads about 1 MB, and files stay few.
SHARD = 64


def write(
  directory: pathlib.Path,
  *,
  tables: Mapping[str, 'FeatureTable'],
  vocabulary: list[str],
  report: Mapping[str, Any],
) -> None:
  """Writes the page into `directory`, in place of one that is there.

  Args:
    directory: the page's own folder: what else lies in it is removed.
    tables: features by dictionary, under keys such as 'A1'.
    vocabulary: the V tokens as strings.
    report: what report.json holds.

  Raises:
    UserError: the disk is full.
  """
  with _in_place_of(directory) as scratch:
    _write_data(scratch / 'data', tables, vocabulary, report)
    (scratch / 'static').mkdir()
    static = resources.files('monosem_jax.site') / 'static'
    for file in static.iterdir():
      if file.name != 'index.html':
        _write(scratch / 'static' / file.name, file.read_bytes())
    _write(scratch / 'index.html', (static / 'index.html').read_bytes())


def _write_data(
  data: pathlib.Path,
  tables: Mapping[str, 'FeatureTable'],
  vocabulary: list[str],
  report: Mapping[str, Any],
) -> None:
  for key, table in tables.items():
    features = len(table.fired_F)
    for k, start in enumerate(range(0, features, SHARD)):
      rows = range(start, min(start + SHARD, features))
      shard = [encode.feature(table, i) for i in rows]
      _write_call(data / key / f'{k:04d}.js', 'shard', key, k, shard)
  runs = report.get('dictionaries', {})
  dictionaries = {
    key: encode.overview(table, runs.get(table.meta['run']))
    for key, table in tables.items()
  }
  _write_call(data / 'vocabulary.js', 'vocabulary', vocabulary)
  _write_call(
    data / 'index.js', 'index', {'shard': SHARD, 'dictionaries': dictionaries}
  )


def _write_call(path: pathlib.Path, function: str, *values: Any) -> None:
  """Writes a script that hands `values` to a function of the page."""
  # ASCII: no U+2028 and no half of a surrogate pair reaches a parser.
  arguments = ','.join(
    json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(',', ':'))
    for value in values
  )
  _write(path, f'monosem.data.{function}({arguments});\n'.encode('ascii'))


def _write(path: pathlib.Path, data: bytes) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(data)


@contextlib.contextmanager
def _in_place_of(directory: pathlib.Path) -> Iterator[pathlib.Path]:
  """Gives an empty folder that takes `directory`'s place if the block succeeds.

  A kill inside the block leaves the folder that was there as it was.
  """
  new = directory.with_name(directory.name + '.new')
  old = directory.with_name(directory.name + '.old')
  # No folder can be renamed onto a full one; a kill between the two renames
  # below leaves the page here.
  if old.exists() and not directory.exists():
    old.rename(directory)
  shutil.rmtree(new, ignore_errors=True)
  shutil.rmtree(old, ignore_errors=True)
  new.mkdir(parents=True)
  try:
    yield new
  except BaseException as e:
    shutil.rmtree(new, ignore_errors=True)
    if full_disk(e):
      raise UserError(
        f'disk full: {directory} could not be written. Make room and run the '
        'site stage again.'
      ) from e
    raise
  if directory.exists():
    directory.rename(old)
  new.rename(directory)
  shutil.rmtree(old, ignore_errors=True)
