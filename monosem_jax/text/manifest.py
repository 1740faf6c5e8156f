"""The manifest of a token store: JSON that does not depend on the machine."""

import dataclasses
import hashlib
import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text import sources
from monosem_jax.text.table import DocumentTable, TableBuilder
from monosem_jax.text.tokenizer import Tokenizer

FORMAT = 1
SPLITS = ('train', 'val')
MANIFEST, TOKENIZER, DOCUMENTS = (
  'manifest.json',
  'tokenizer.json',
  'documents.npz',
)
# Settings that are specific to a machine or do not change what is stored.
_LEFT_OUT = ('paths', 'tfds_dir', 'tfds_prepare', 'strict')


def finish(
  scratch: Path,
  text: settings.Text,
  tok: Tokenizer,
  builders: dict[str, TableBuilder],
  subsets: list[str],
  skipped: Counter[str],
  shards: dict[str, list[tuple[str, int]]],
) -> dict[str, Any]:
  """Writes the document table and then the manifest, which it returns.

  Args:
    scratch: folder of the store, which already has its record files.
    text: the settings of the store.
    tok: its tokenizer, already saved.
    builders: documents of each split.
    subsets: subset names; documents refer to them by index.
    skipped: number of documents left out, by reason.
    shards: (file name, number of records) of each file of each split.
  """
  tables = {split: builder.build() for split, builder in builders.items()}
  columns: dict[str, Any] = {
    name: array
    for split, table in tables.items()
    for name, array in table.columns(split).items()
  }
  np.savez(scratch / DOCUMENTS, **columns)
  splits = {
    split: _split(scratch, shards[split], table, text)
    for split, table in tables.items()
  }
  identity = {
    'format': FORMAT,
    'context': text.context,
    'contexts_per_record': text.contexts_per_record,
    'tokenizer': {
      'sha256': tok.sha256,
      'vocab_size': tok.vocab_size,
      'separator': tok.separator,
    },
    'splits': splits,
  }
  chosen = dataclasses.asdict(text)
  kept = sum(len(table.digest_D) for table in tables.values())
  source = sources.of(text).description(text, kept)
  manifest = {
    'sha256': _digest(identity),
    **identity,
    'documents': _file(scratch / DOCUMENTS),
    'subset_names': subsets,
    'subsets': _subsets(tables, subsets),
    'skipped': dict(sorted(skipped.items())),
    'settings': {k: v for k, v in chosen.items() if k not in _LEFT_OUT},
    'source': source,
  }
  path = scratch / MANIFEST
  path.write_text(json.dumps(manifest, indent=2) + '\n', 'utf-8')
  return manifest


def load(directory: Path) -> dict[str, Any]:
  """Returns the manifest of a complete store.

  Raises:
    UserError: the manifest is missing or corrupt, or a file is missing or does
      not have the size in the manifest.
  """
  again = 'Remove the folder and run the tokens stage again.'
  path = directory / MANIFEST
  if not path.is_file():
    raise UserError(
      f'{directory} does not contain a token store ({MANIFEST} is missing). '
      'Run the tokens stage first.'
    )
  try:
    manifest = json.loads(path.read_text('utf-8'))
    version = manifest['format']
    files = [manifest['documents']]
    for split in SPLITS:
      files += manifest['splits'][split]['files']
    sizes = {file['name']: file['bytes'] for file in files}
  except (ValueError, KeyError, TypeError) as e:
    raise UserError(f'{path} is corrupt. {again}') from e
  if version != FORMAT:
    raise UserError(
      f'{path} has format {version}; this program reads {FORMAT}. {again}'
    )
  for name, size in sizes.items():
    file = directory / name
    if not file.is_file():
      raise UserError(f'{file} is missing. {again}')
    if file.stat().st_size != size:
      raise UserError(
        f'{file} has {file.stat().st_size:,} bytes instead of {size:,}. {again}'
      )
  return manifest


def load_tables(directory: Path) -> dict[str, DocumentTable]:
  """Returns the documents of each split.

  Raises:
    UserError: the file is corrupt.
  """
  path = directory / DOCUMENTS
  try:
    with np.load(path, allow_pickle=False) as columns:
      return {
        split: DocumentTable.from_columns(columns, split) for split in SPLITS
      }
  except (OSError, ValueError, KeyError, zipfile.BadZipFile) as e:
    raise UserError(
      f'{path} is corrupt. Remove the folder and run the tokens stage again.'
    ) from e


def _split(
  scratch: Path,
  shards: list[tuple[str, int]],
  table: DocumentTable,
  text: settings.Text,
) -> dict[str, Any]:
  tokens = int(table.start_J[-1])
  contexts = sum(records for _, records in shards) * text.contexts_per_record
  return {
    'documents': len(table.digest_D),
    'tokens': tokens,
    'contexts': contexts,
    'dropped_tokens': tokens - contexts * text.context,
    'files': [
      _file(scratch / name) | {'records': records} for name, records in shards
    ],
  }


def _subsets(
  tables: dict[str, DocumentTable], names: list[str]
) -> dict[str, dict[str, dict[str, int]]]:
  """Returns subset -> split -> {documents, tokens}."""
  counts: dict[str, dict[str, dict[str, int]]] = {name: {} for name in names}
  for split, table in tables.items():
    documents_S = np.bincount(table.subset_D, minlength=len(names))
    tokens_S = np.zeros(len(names), np.int64)
    np.add.at(tokens_S, table.subset_D, table.length_D)
    for s, name in enumerate(names):
      counts[name][split] = {
        'documents': int(documents_S[s]),
        'tokens': int(tokens_S[s]),
      }
  return counts


def _file(path: Path) -> dict[str, Any]:
  with open(path, 'rb') as file:
    digest = hashlib.file_digest(file, 'sha256').hexdigest()
  return {'name': path.name, 'bytes': path.stat().st_size, 'sha256': digest}


def _digest(value: Any) -> str:
  canonical = json.dumps(value, sort_keys=True).encode('utf-8')
  return hashlib.sha256(canonical).hexdigest()
