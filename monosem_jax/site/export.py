"""Writes the page: its scripts, and packs of its data. Imports no jax.

  site/index.html
  site/static/                scripts and styles, as they are in this package
  site/data/live.js           says that there is no server (`serve` answers with
                              another)
  site/data/index             the run, and a summary of every set of features
  site/data/vocabulary        all tokens as strings
  site/data/A1/columns        the columns of the set's list
  site/data/A1/0000           64 features each, loaded when one is opened
  site/data/contexts/0000     the examples' whole contexts, 256 each
  site/data/A1/residual/0000  what the dictionary leaves unexplained in these
  site/data/map/small ...     data of the other views, see `views`
  site/checksums.txt          SHA-256 of all of these, in sha256sum's format

All data but live.js are packs, see `pack`.
"""

import hashlib
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from monosem_jax.features import census
from monosem_jax.run.files import in_place_of
from monosem_jax.site import provenance, scripts, shards
from monosem_jax.site.exhibit import Contexts, Exhibit
from monosem_jax.site.pack import Writer, half
from monosem_jax.site.views import Pack

# Features in a shard: one click loads some hundred kilobytes, files stay few.
SHARD = 64
# Contexts in a shard.
CONTEXTS = 256
NO_SERVER = b'monosem.live = null;\n'
# Takes a pack's name, meta and columns.
Put = Callable[[str, Any, Mapping[str, np.ndarray]], None]


def write(
  directory: pathlib.Path,
  *,
  build: str,
  run: Mapping[str, Any],
  exhibits: Sequence[Exhibit],
  contexts: Contexts,
  vocabulary: list[str],
  views: Mapping[str, Pack],
  pictures: Mapping[str, pathlib.Path],
) -> None:
  """Writes the page into `directory`, in place of one that is there.

  Args:
    directory: the page's own folder. Other files in it are removed.
    build: identifies what the page is made of; part of every pack.
    run: what the index says about the run: its meta without the sets.
    exhibits: sets of features, the main one first.
    contexts: the contexts that the examples are from.
    vocabulary: the V tokens as strings.
    views: packs of the other views, by name.
    pictures: image files to show, by their names in `pictures/`.

  Raises:
    UserError: the disk is full.
  """
  with in_place_of(directory, 'run the site stage again') as scratch:
    put = Writer(scratch / 'data', build).write
    for e in exhibits:
      put_columns(put, e)
      put_features(put, e)
    put_contexts(put, contexts, exhibits)
    for name, (meta, columns) in views.items():
      put(name, meta, columns)
    put('vocabulary', vocabulary, {})
    put('index', {**run, **index(contexts, exhibits, views, pictures)}, {})
    (scratch / scripts.LIVE).write_bytes(NO_SERVER)
    if pictures:
      (scratch / 'pictures').mkdir()
    for name, path in pictures.items():
      (scratch / 'pictures' / name).write_bytes(path.read_bytes())
    copy_static(scratch)
    (scratch / 'checksums.txt').write_bytes(_checksums(scratch))


def copy_static(directory: pathlib.Path) -> None:
  """Copies the page itself, without data."""
  with resources.as_file(scripts.static()) as static:
    shutil.copytree(static, directory / 'static')
  (directory / 'static/index.html').unlink()
  (directory / 'index.html').write_text(scripts.page(), 'utf-8')


def put_columns(put: Put, e: Exhibit, kept_F: np.ndarray | None = None) -> None:
  """Puts the columns of a set's list, 0 for features that are not kept."""
  columns, labels = shards.columns(e), e.labels
  if kept_F is not None:
    columns = {name: x.copy() for name, x in columns.items()}
    for x in columns.values():
      x[~kept_F] = 0
    labels = {i: found for i, found in labels.items() if kept_F[i]}
  meta = {'labels': {str(i): found for i, found in labels.items()}}
  put(f'{e.features.key}/columns', meta, columns)


def put_features(put: Put, e: Exhibit) -> None:
  """Puts all that a feature's own page shows, 64 features in a pack."""
  for k, rows in enumerate(_slices(e.features.count, SHARD)):
    put(
      f'{e.features.key}/{k:04d}', None, shards.shard(e, rows.start, rows.stop)
    )


def put_contexts(
  put: Put, contexts: Contexts, exhibits: Sequence[Exhibit]
) -> None:
  """Puts contexts and the sets' residual losses in them, 256 in a pack."""
  number_C = contexts.number_C.astype(np.uint32)
  put('contexts/numbers', None, {'number': number_C})
  for k, rows in enumerate(_slices(number_C.size, CONTEXTS)):
    put(f'contexts/{k:04d}', None, shards.context_shard(contexts, rows))
    for e in exhibits:
      if e.residual_CT is not None:
        residual = half(np.round(e.residual_CT[rows].astype(np.float32), 2))
        put(f'{e.features.key}/residual/{k:04d}', None, {'residual': residual})


def index(
  contexts: Contexts,
  exhibits: Sequence[Exhibit],
  views: Iterable[str] = (),
  pictures: Iterable[str] = (),
) -> dict[str, Any]:
  """The part of the index's meta that tells what the packs hold."""
  return {
    'shard': SHARD,
    'contexts': {'split': contexts.split, 'shard': CONTEXTS},
    'sets': [_set(e) for e in exhibits],
    'views': sorted(views),
    'pictures': sorted(pictures),
  }


def _set(e: Exhibit) -> dict[str, Any]:
  meta = e.features.table.meta
  return {
    'key': e.features.key,
    'run': e.features.name,
    'features': e.features.count,
    'meta': {k: v for k, v in meta.items() if k != 'groups'},
    'groups': shards.groups(meta['groups']),
    'numbers': e.numbers,
    'counts': census.counts(e.features.table.class_F),
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
