"""The text that the Python installation carries, for runs without any data."""

import importlib.metadata
import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monosem_jax.config import settings
from monosem_jax.text.document import Document, Skips, checked_text
from monosem_jax.text.files import walk
from monosem_jax.text.sources import Source

_SUFFIXES = frozenset(
  ('.py', '.pyi', '.md', '.rst', '.txt', '.html', '.json', '.c', '.h')
)
_CACHES = frozenset(('__pycache__',))
# The standard library's folder may hold the installed packages, which have a
# root of their own.
_PACKAGES = frozenset(('site-packages', 'dist-packages'))


def _roots() -> list[tuple[str, Path]]:
  """Returns (name, folder): the standard library, then the packages."""
  paths = sysconfig.get_paths()
  packages = sorted(
    {os.path.realpath(paths[k]) for k in ('purelib', 'platlib')}
  )
  stdlib = os.path.realpath(paths['stdlib'])
  roots = [('stdlib', Path(stdlib))]
  return roots + [('site-packages', Path(folder)) for folder in packages]


def read(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the installation's text files; a subset is a suffix."""
  del text
  # Nobody can mend an installation's files: they are skipped, never refused.
  skips = Skips(skips.counts, strict=False)
  for label, root in _roots():
    not_entered = _CACHES | _PACKAGES if label == 'stdlib' else _CACHES
    for path, name in walk(root, _SUFFIXES, not_entered):
      try:
        data = path.read_bytes()
      except OSError:
        skips.bad('unreadable', str(path))
        continue
      value = checked_text(data, str(path), skips)
      if value is not None:
        yield Document(value, path.suffix[1:], f'{label}/{name}')


def description(text: settings.Text, documents: int) -> dict[str, Any]:
  """Python's version, the packages, and how many files were kept."""
  del text
  packages = {
    f'{found.metadata["Name"]}=={found.version}'
    for found in importlib.metadata.distributions()
  }
  return {
    'python': platform.python_version(),
    'distributions': sorted(packages, key=str.lower),
    'files': documents,
  }


SOURCE = Source(read, description)
