"""A document, and how records without a usable document are handled."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError

UNKNOWN_SUBSET = 'unknown'


@dataclasses.dataclass(frozen=True)
class Document:
  """A text that can be encoded as UTF-8, and where it comes from.

  Attributes:
    text: the text of the whole document.
    subset: the subset of the corpus it belongs to; `unknown` if not given.
    origin: where it is from, such as file and line, relative to the source's
      paths.
  """

  text: str
  subset: str
  origin: str


@dataclasses.dataclass(frozen=True)
class Skips:
  """Counts unusable records by reason, or rejects them.

  Attributes:
    counts: number of records skipped, by reason.
    strict: whether to raise an error instead (`text.strict`).
  """

  counts: Counter[str]
  strict: bool

  def bad(self, reason: str, where: str) -> None:
    """Counts one unusable record or file.

    Raises:
      UserError: `strict` is set.
    """
    if self.strict:
      raise UserError(
        f'{where}: {reason}. Fix it, or set text.strict=False to skip and '
        'count such records.'
      )
    self.counts[reason] += 1


def field(record: Any, dotted: str) -> Any:
  """Returns the value at a dotted path of nested mappings, or None."""
  for name in dotted.split('.'):
    if not isinstance(record, Mapping):
      return None
    record = record.get(name)
  return record


def subset_name(value: Any) -> str:
  """Returns a printable subset name for any value of the subset field."""
  if isinstance(value, bytes):
    value = value.decode('utf-8', 'backslashreplace')
  if isinstance(value, int):
    value = str(value)
  if not isinstance(value, str) or not value:
    return UNKNOWN_SUBSET
  return value.encode('utf-8', 'backslashreplace').decode('utf-8')


def checked_text(value: Any, where: str, skips: Skips) -> str | None:
  """Returns `value` as valid text, or None after counting why it is not."""
  if isinstance(value, bytes):
    try:
      return value.decode('utf-8')
    except UnicodeDecodeError:
      skips.bad('undecodable', where)
      return None
  if not isinstance(value, str):
    skips.bad('no text field', where)
    return None
  try:
    value.encode('utf-8')
  except UnicodeEncodeError:
    skips.bad('lone surrogate', where)
    return None
  return value


def from_record(
  record: Any, origin: str, where: str, text: settings.Text, skips: Skips
) -> Document | None:
  """Returns the document of a record, or None if it has no usable text."""
  value = checked_text(field(record, text.text_field), where, skips)
  if value is None:
    return None
  subset = subset_name(field(record, text.subset_field))
  return Document(value, subset, origin)
