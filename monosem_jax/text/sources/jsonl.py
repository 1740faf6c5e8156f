"""Source: JSON lines in The Pile's form, .jsonl, .jsonl.zst or .jsonl.gz."""

import json
from collections.abc import Iterator

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import Document, Skips, checked_text, from_record
from monosem_jax.text.files import lines, matched, names
from monosem_jax.text.sources import Source


def read(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the documents of .jsonl, .jsonl.zst and .jsonl.gz files."""
  files = matched(text.paths)
  for file in files:
    if not file.name.endswith(('.jsonl', '.jsonl.zst', '.jsonl.gz')):
      raise UserError(
        f'text.paths: {file.path} is not a .jsonl, .jsonl.zst or .jsonl.gz '
        'file. Narrow the glob, or choose another text.source.'
      )
  for file in files:
    for number, line in lines(file.path, skips):
      if not line.strip():
        continue
      where = f'{file.path}:{number}'
      # json.loads would guess the encoding and accept surrogates.
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


SOURCE = Source(read, names, paths='a glob')
