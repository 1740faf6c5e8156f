"""The text that the Python installation carries, for runs without any data."""

import importlib.metadata
import os
import platform
import stat
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monosem_jax.config import settings
from monosem_jax.text.document import Document, Skips, checked_text

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


def walk(
  root: Path,
  suffixes: frozenset[str],
  not_entered: frozenset[str] = frozenset(),
) -> Iterator[tuple[Path, str]]:
  """Yields (path, path relative to root) of regular files in sorted order.

  No symbolic link is followed, so nothing outside `root` is read; nor is a
  folder of a name in `not_entered`.
  """
  for folder, names, files in os.walk(root):
    names[:] = sorted(name for name in names if name not in not_entered)
    for name in sorted(files):
      path = Path(folder, name)
      if path.suffix in suffixes and stat.S_ISREG(path.lstat().st_mode):
        yield path, path.relative_to(root).as_posix()


def installed(text: settings.Text, skips: Skips) -> Iterator[Document]:
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


def description() -> dict[str, Any]:
  """Returns what `installed` reads here: Python's version and the packages."""
  packages = {
    f'{found.metadata["Name"]}=={found.version}'
    for found in importlib.metadata.distributions()
  }
  return {
    'python': platform.python_version(),
    'distributions': sorted(packages, key=str.lower),
  }
