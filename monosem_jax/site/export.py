"""Writes the page. Imports no jax: it is given what it shows, and writes packs.

  site/index.html
  site/static/                scripts and styles, as they are in this package
  site/data/live.js           says that no server is there; `serve` says another
  site/data/index             the run, and every set of features in short
  site/data/vocabulary        all tokens as strings
  site/data/A1/columns        the list's columns
  site/data/A1/0000           64 features each, loaded when one is opened
  site/data/A1/residual/0000  of 256 contexts each
  site/data/contexts/0000     those contexts: wider ones of examples
  site/data/map/small ...     the other views, see `views`
  site/checksums.txt          SHA-256 of all of these, as sha256sum has them

Each of the data is a pack: see `pack`.
"""

import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from monosem_jax import settings
from monosem_jax.files import in_place_of
from monosem_jax.names import run_name
from monosem_jax.site import provenance, shards
from monosem_jax.site.exhibit import Contexts, Exhibit
from monosem_jax.site.pack import Writer, half

# Features of a shard: one click loads some hundred kilobytes, files stay few.
SHARD = 64
CONTEXTS = 256
LIVE = 'data/live.js'
Packs = Mapping[str, tuple[Any, Mapping[str, np.ndarray]]]


def write(
  directory: pathlib.Path,
  *,
  build: str,
  run: Mapping[str, Any],
  exhibits: Sequence[Exhibit],
  contexts: Contexts,
  vocabulary: list[str],
  views: Packs,
  pictures: Mapping[str, pathlib.Path],
  c: settings.Site,
) -> None:
  """Writes the page into `directory`, in place of one that is there.

  Args:
    directory: the page's own folder: what else lies in it is removed.
    build: names what it is made of; part of every pack.
    run: of the index's meta all that is not about one set of features.
    exhibits: sets of features, the main one first.
    contexts: those that examples are of.
    vocabulary: the V tokens as strings.
    views: packs of the other views, by name.
    pictures: files to be shown, by their names in `pictures/`.
    c: settings.

  Raises:
    UserError: the disk is full.
  """
  with in_place_of(directory, 'run the site stage again') as scratch:
    out = Writer(scratch / 'data', build, c.scripts)
    sets = [_set(out, e, contexts) for e in exhibits]
    for k, rows in enumerate(_slices(contexts.number_C.size, CONTEXTS)):
      out.write(f'contexts/{k:04d}', None, shards.context_shard(contexts, rows))
    out.write(
      'contexts/numbers', None, {'number': contexts.number_C.astype(np.uint32)}
    )
    for name, (meta, columns) in views.items():
      out.write(name, meta, columns)
    out.write('vocabulary', vocabulary)
    index = {
      'shard': SHARD,
      'contexts': {'split': contexts.split, 'shard': CONTEXTS},
      'sets': sets,
      'views': sorted(views),
      'pictures': sorted(pictures),
    }
    out.write('index', {**run, **index})
    (scratch / LIVE).write_bytes(b'monosem.live = null;\n')
    if pictures:
      (scratch / 'pictures').mkdir()
    for name, path in pictures.items():
      (scratch / 'pictures' / name).write_bytes(path.read_bytes())
    copy_static(scratch)
    (scratch / 'checksums.txt').write_bytes(_checksums(scratch))


def copy_static(directory: pathlib.Path) -> None:
  """The page itself, without data."""
  static = resources.files('monosem_jax.site') / 'static'
  (directory / 'static').mkdir(parents=True)
  for file in static.iterdir():
    name = file.name
    where = directory if name == 'index.html' else directory / 'static'
    (where / name).write_bytes(file.read_bytes())


def _set(out: Writer, e: Exhibit, contexts: Contexts) -> dict[str, Any]:
  """Writes the packs of a set; returns what the index says of it."""
  meta = e.table.meta
  labels = {str(i): found for i, found in e.labels.items()}
  out.write(f'{e.key}/columns', {'labels': labels}, shards.columns(e))
  for k, rows in enumerate(_slices(e.features, SHARD)):
    columns = shards.shard(e, rows.start, rows.stop)
    out.write(f'{e.key}/{k:04d}', None, columns)
  if e.residual_CT is not None:
    for k, rows in enumerate(_slices(contexts.number_C.size, CONTEXTS)):
      residual = half(np.round(e.residual_CT[rows].astype(np.float32), 2))
      out.write(f'{e.key}/residual/{k:04d}', None, {'residual': residual})
  return {
    'key': e.key,
    'run': run_name(e.key),
    'features': e.features,
    'meta': {k: v for k, v in meta.items() if k != 'groups'},
    'groups': shards.groups(meta['groups']),
    'numbers': e.numbers,
    'counts': provenance.excluded(e),
    'effects': e.effects is not None,
    'residual': e.residual_CT is not None,
    'warnings': provenance.warnings(e),
  }


def _slices(length: int, size: int) -> Iterator[slice]:
  for start in range(0, length, size):
    yield slice(start, min(start + size, length))


def _checksums(directory: pathlib.Path) -> bytes:
  lines = []
  for path in sorted(p for p in directory.rglob('*') if p.is_file()):
    with path.open('rb') as file:
      digest = hashlib.file_digest(file, 'sha256').hexdigest()
    lines.append(f'{digest}  {path.relative_to(directory).as_posix()}\n')
  return ''.join(lines).encode()
