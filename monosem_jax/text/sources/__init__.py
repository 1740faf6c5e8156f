"""Sources of documents, a module each: `settings.Text.source`."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monosem_jax.config import choices, settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import Document, Skips


@dataclasses.dataclass(frozen=True)
class Source:
  """What a module declares as `SOURCE`.

  Attributes:
    read: `read(text, skips)` yields the documents, and counts what holds none.
    description: `description(text, documents)`: what was read, for the
      manifest, by names that hold on any machine; `documents` says how many
      were kept.
    paths: what `text.paths` names, such as `a glob`; '' if nothing.
  """

  read: Callable[[settings.Text, Skips], Iterator[Document]]
  description: Callable[[settings.Text, int], Mapping[str, Any]]
  paths: str = ''


def of(text: settings.Text) -> Source:
  """The source of the settings.

  Raises:
    UserError: no module has its name, or it needs paths and has none.
  """
  unknown = 'config: text.source: unknown source'
  found = choices.module(__name__, text.source, unknown).SOURCE
  if found.paths and not text.paths:
    raise UserError(
      f'config: text.source={text.source!r} needs text.paths: name '
      f'{found.paths} at least.'
    )
  return found
