"""The sources a user brings: text folders, JSON lines and record files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import (
  Document,
  Skips,
  checked_text,
  field,
  from_record,
  subset_name,
)
from monosem_jax.text.files import lines, matched, require_paths
from monosem_jax.text.installed import walk

# Records read at once.
_BATCH = 256


def jsonl(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the documents of .jsonl, .jsonl.zst and .jsonl.gz files."""
  files = matched(text.paths, 'jsonl')
  for file in files:
    if not file.name.endswith(('.jsonl', '.jsonl.zst', '.jsonl.gz')):
      raise UserError(
        f'text.paths: {file.path} is no .jsonl, .jsonl.zst or .jsonl.gz file. '
        'Narrow the glob, or choose another text.source.'
      )
  for file in files:
    for number, line in lines(file.path, skips):
      if not line.strip():
        continue
      where = f'{file.path}:{number}'
      # json.loads would guess an encoding and let surrogates pass.
      decoded = checked_text(line, where, skips)
      if decoded is None:
        continue
      try:
        record = json.loads(decoded)
      except (ValueError, RecursionError):
        skips.bad('corrupt line', where)
        continue
      origin = f'{file.name}:{number}'
      document = from_record(record, origin, where, text, skips)
      if document:
        yield document


def text_folders(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields .txt and .md files; a subset is a folder directly below a path."""
  require_paths(text.paths, 'text', 'a folder')
  for named in text.paths:
    root = Path(named).expanduser().resolve()
    if not root.is_dir():
      raise UserError(f'text.paths: {named!r} is not a folder.')
    found = False
    for path, name in walk(root, frozenset(('.txt', '.md'))):
      found = True
      try:
        data = path.read_bytes()
      except OSError as e:
        raise UserError(f'{path} cannot be read: {e.strerror}.') from e
      value = checked_text(data, str(path), skips)
      if value is not None:
        subset = name.split('/')[0] if '/' in name else 'text'
        yield Document(value, subset_name(subset), f'{root.name}/{name}')
    if not found:
      raise UserError(f'text.paths: no .txt or .md file below {named!r}.')


def array_record(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the records of ArrayRecord files: text, or JSON objects."""
  from array_record.python import array_record_module

  for file in matched(text.paths, 'array_record'):
    try:
      reader = array_record_module.ArrayRecordReader(str(file.path))
      # A file without its end may open without an exception.
      if not reader.ok():
        raise RuntimeError(f'{file.path} does not open')
      count = reader.num_records()
      for start in range(0, count, _BATCH):
        records = reader.read(start, min(start + _BATCH, count))
        for number, data in enumerate(records, start):
          where = f'{file.path}:{number}'
          record = _as_mapping(data, text)
          origin = f'{file.name}:{number}'
          document = from_record(record, origin, where, text, skips)
          if document:
            yield document
      reader.close()
    except (RuntimeError, IndexError):
      skips.bad('corrupt file', str(file.path))


def _as_mapping(data: bytes, text: settings.Text) -> Any:
  """Returns the JSON object a record is, or one around its plain text."""
  if data.startswith(b'{'):
    try:
      record = json.loads(data.decode('utf-8'))
    except (ValueError, RecursionError):
      record = None
    if field(record, text.text_field) is not None:
      return record
  for name in reversed(text.text_field.split('.')):
    data = {name: data}
  return data
