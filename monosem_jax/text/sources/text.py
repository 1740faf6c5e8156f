"""Source: folders of .txt and .md files."""

from collections.abc import Iterator
from pathlib import Path

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import (
  Document,
  Skips,
  checked_text,
  subset_name,
)
from monosem_jax.text.files import walk
from monosem_jax.text.sources import Source


def read(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields .txt and .md files; the subset is the top folder below a path."""
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
      raise UserError(f'text.paths: {named!r} contains no .txt or .md file.')


SOURCE = Source(read, lambda text, documents: {}, paths='a folder')
