"""Source: the text files of the Python installation, for runs without data."""

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
# Installed packages have a root of their own, which may lie inside the standard
# library's folder.
_PACKAGES = frozenset(('site-packages', 'dist-packages'))


def _roots() -> list[tuple[str, Path]]:
  """Returns (name, folder) of the standard library and of the packages."""
  paths = sysconfig.get_paths()
  packages = sorted(
    {os.path.realpath(paths[k]) for k in ('purelib', 'platlib')}
  )
  stdlib = os.path.realpath(paths['stdlib'])
  roots = [('stdlib', Path(stdlib))]
  return roots + [('site-packages', Path(folder)) for folder in packages]


def read(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the installation's text files; the subset is the file suffix."""
  del text
  # Users cannot fix the files of an installation, so bad ones are skipped.
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
  """The version of Python, the packages, and the number of files kept."""
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
