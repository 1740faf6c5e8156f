"""Source: ArrayRecord files whose records are texts or JSON objects."""

import json
from collections.abc import Iterator
from typing import Any

from monosem_jax.config import settings
from monosem_jax.text.document import Document, Skips, field, from_record
from monosem_jax.text.files import matched, names
from monosem_jax.text.sources import Source

# Number of records read at a time.
_BATCH = 256


def read(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the documents of all records."""
  from array_record.python import array_record_module

  for file in matched(text.paths):
    try:
      reader = array_record_module.ArrayRecordReader(str(file.path))
      # A truncated file may open without an exception.
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
  """Returns a record as a JSON object; plain text is wrapped into one."""
  if data.startswith(b'{'):
    try:
      record = json.loads(data.decode('utf-8'))
    except (ValueError, RecursionError):
      record = None
    if field(record, text.text_field) is not None:
      return record
  found: Any = data
  for name in reversed(text.text_field.split('.')):
    found = {name: found}
  return found


SOURCE = Source(read, names, paths='a glob')
