"""Selects the documents of a source that are kept."""

import hashlib
from collections import Counter
from collections.abc import Iterator

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.text import sources
from monosem_jax.text.document import Document, Skips


def text_hash(text: str) -> bytes:
  """Returns the SHA-256 digest of a text's UTF-8.

  Choices about a document read different words of eight bytes of its digest, so
  that they are independent: word 0 for `text.keep`, 1 for the validation split,
  2 for the tokenizer's sample.
  """
  return hashlib.sha256(text.encode('utf-8')).digest()


def hash_word(digest: bytes, word: int) -> int:
  """Returns a word of eight bytes of a digest as a uniform uint64."""
  return int.from_bytes(digest[8 * word : 8 * word + 8], 'big')


def is_validation(digest: bytes, fraction: float) -> bool:
  """Whether the text with this digest is held out for validation."""
  return hash_word(digest, 1) / 2**64 < fraction


def documents(text: settings.Text, skipped: Counter[str]) -> Iterator[Document]:
  """Yields the documents of `text.source` that the settings keep, in order.

  Args:
    text: the settings of the source and its filter.
    skipped: counts documents left out, by reason; `cut` counts documents that
      were shortened and kept.

  Raises:
    UserError: the source is unknown, a file is missing, `text.strict` rejects a
      record, or `text.keep` names a subset that does not occur.
  """
  read = sources.of(text).read
  subsets: set[str] = set()
  for document in read(text, Skips(skipped, text.strict)):
    subsets.add(document.subset)
    if len(document.text) < text.min_document_chars:
      skipped['short'] += 1
      continue
    if len(document.text) > text.max_document_chars:
      skipped['cut'] += 1
      shorter = _cut(document.text, text.max_document_chars)
      document = Document(shorter, document.subset, document.origin)
    fraction = text.keep.get(document.subset, text.keep.get('*', 1.0))
    # The hash is that of the shortened text, so that documents that become
    # equal by the cut count as duplicates.
    if fraction < 1 and (
      hash_word(text_hash(document.text), 0) / 2**64 >= fraction
    ):
      skipped['keep'] += 1
      continue
    yield document
  for name in sorted(set(text.keep) - subsets - {'*'}):
    raise UserError(
      f'text.keep: the text has no subset {name!r}{nearest(name, subsets)}.'
    )


def _cut(text: str, limit: int) -> str:
  """Cuts a text after the last whole line within the limit, or at the limit."""
  end = text.rfind('\n', 0, limit) + 1
  return text[: end or limit]
