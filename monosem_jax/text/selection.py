"""The documents that are kept of a source, whichever it is."""

import hashlib
from collections import Counter
from collections.abc import Iterator

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.text import sources
from monosem_jax.text.document import Document, Skips


def text_hash(text: str) -> bytes:
  """Returns the SHA-256 digest of a text's UTF-8.

  Every choice about a document reads its own eight bytes of it, so that the
  choices are independent: 0 keep, 1 validation, 2 the tokenizer's sample.
  """
  return hashlib.sha256(text.encode('utf-8')).digest()


def hash_word(digest: bytes, word: int) -> int:
  """Returns the `word`-th eight bytes of a digest, a uniform uint64."""
  return int.from_bytes(digest[8 * word : 8 * word + 8], 'big')


def is_validation(digest: bytes, fraction: float) -> bool:
  """Says whether the text with this digest is held out."""
  return hash_word(digest, 1) / 2**64 < fraction


def documents(text: settings.Text, skipped: Counter[str]) -> Iterator[Document]:
  """Yields the documents of `text.source` that the settings keep, in order.

  Args:
    text: the source and its filter.
    skipped: counts, by reason, what was left out; `cut` counts documents that
      were shortened and kept.

  Raises:
    UserError: unknown source, missing file, what `text.strict` refuses, or a
      subset in `text.keep` that the text does not have.
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
    # The hash is of the text as kept: documents that are the same once cut
    # count as duplicates.
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
  """Returns the whole lines within the limit, or a hard cut of one line."""
  end = text.rfind('\n', 0, limit) + 1
  return text[: end or limit]
