"""The page's scripts, and the order in which they run.

A script in one of the folders of `static/` is part of the page. It defines
names (`monosem.dom = ...`) and uses names of other scripts, which run before.
"""

import graphlib
import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

# From below: a script uses only scripts of its own folder and of those before.
FOLDERS = ('core', 'plots', 'labels', 'features', 'views', 'live')
# Says whether a server is there, see `export`.
LIVE = 'data/live.js'
_START = 'static/start.js'
_PLACE = '  <!-- scripts -->\n'
_COMMENT = re.compile(r'^\s*//.*$', re.MULTILINE)
_DEFINED = re.compile(r'^(?:const )?(monosem(?:\.\w+)*) = ', re.MULTILINE)
_USED = re.compile(r'\bmonosem(?:\??\.\w+)*')
# Such as `const { card, data } = monosem;`.
_TAKEN = re.compile(r'const \{([^{}]*)\} = monosem;')


def page() -> str:
  """index.html, with a tag for every script."""
  tags = (f'  <script defer src="{a}"></script>\n' for a in addresses())
  return text('static/index.html').replace(_PLACE, ''.join(tags))


def addresses() -> Iterator[str]:
  """The addresses of the page's scripts, in the order in which they run.

  Raises:
    graphlib.CycleError: scripts use each other in a circle.
  """
  order = [*graphlib.TopologicalSorter(uses()).static_order()]
  for folder in FOLDERS:
    yield from (a for a in order if a.startswith(f'static/{folder}/'))
    if folder == 'core':
      yield LIVE
  yield _START


def uses() -> dict[str, list[str]]:
  """The scripts that each script uses, by address."""
  found = {
    f'static/{folder}/{name}': names(text(f'static/{folder}/{name}'))
    for folder in FOLDERS
    for name in sorted(file.name for file in (static() / folder).iterdir())
  }
  definer = {name: a for a, (defined, _) in found.items() for name in defined}
  return {
    address: sorted({definer[n] for n in used & set(definer)} - {address})
    for address, (_, used) in found.items()
  }


def names(script: str) -> tuple[set[str], set[str]]:
  """The names that a script defines, and those that it uses.

  `monosem.views.map` uses `monosem` and `monosem.views`, too.
  """
  script = _COMMENT.sub('', script)
  paths = [path.replace('?', '') for path in _USED.findall(script)]
  for taken in _TAKEN.findall(script):
    paths += [f'monosem.{name.strip()}' for name in taken.split(',')]
  used = set()
  for path in paths:
    parts = path.split('.')
    used |= {'.'.join(parts[:k]) for k in range(1, len(parts) + 1)}
  return set(_DEFINED.findall(script)), used


def static() -> Traversable:
  """The folder of the files that make the page."""
  return resources.files('monosem_jax.site') / 'static'


def text(address: str) -> str:
  """A file of the page, by its address in it."""
  return (static() / address.removeprefix('static/')).read_text('utf-8')
