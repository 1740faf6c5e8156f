"""Documents of a source, and files that hold them."""

import json
from collections import Counter
from pathlib import Path

import zstandard

from monosem_jax.config.settings import Text
from monosem_jax.text.selection import documents

PILE_LIKE = Path(__file__).parents[2] / 'shared/data/pile_like'


def read(**changes):
  """Returns (documents, what was skipped)."""
  changes.setdefault('min_document_chars', 0)
  skipped: Counter[str] = Counter()
  return list(documents(Text(**changes), skipped)), dict(skipped)


def line(text, subset='a') -> bytes:
  record = {'text': text, 'meta': {'pile_set_name': subset}}
  return json.dumps(record).encode() + b'\n'


def zst(data: bytes) -> bytes:
  return zstandard.ZstdCompressor().compress(data)
