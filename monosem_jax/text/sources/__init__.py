"""Sources of documents, one module each; `settings.Text.source` names one."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monosem_jax.config import choices, settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import Document, Skips


@dataclasses.dataclass(frozen=True)
class Source:
  """A source of documents, which its module declares as `SOURCE`.

  Attributes:
    read: `read(text, skips)` yields the documents and counts unusable records.
    description: `description(text, documents)` describes what was read, for the
      manifest, in a form that is the same on any machine; `documents` is the
      number of documents kept.
    paths: what `text.paths` contains, such as `a glob`; '' if it is not used.
  """

  read: Callable[[settings.Text, Skips], Iterator[Document]]
  description: Callable[[settings.Text, int], Mapping[str, Any]]
  paths: str = ''


def of(text: settings.Text) -> Source:
  """The source that the settings name.

  Raises:
    UserError: there is no such source, or `text.paths` is empty and needed.
  """
  unknown = 'config: text.source: unknown source'
  found = choices.module(__name__, text.source, unknown).SOURCE
  if found.paths and not text.paths:
    raise UserError(
      f'config: text.source={text.source!r} needs text.paths with at least '
      f'{found.paths}.'
    )
  return found
