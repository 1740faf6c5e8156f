"""The page's scripts, and the order in which they run.

A folder of `static/` is read whole: a script that is put into it is a part of
the page.
"""

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable

# The folders, in order. In each of them the named scripts run first, since
# others need them as they are read; the rest follow by name.
FOLDERS = {
  'core': ('pack', 'data', 'dom', 'format', 'router', 'tokens'),
  'plots': ('pixels',),
  'labels': ('labelfile', 'labels'),
  'features': (),
  'views': (),
  'live': (),
}
# Whether a server is there, see `export`; before scripts that ask it.
LIVE = 'data/live.js'
_PLACE = '  <!-- scripts -->\n'


def page() -> str:
  """index.html, with a tag for every script."""
  tags = (f'  <script defer src="{a}"></script>\n' for a in addresses())
  return text('static/index.html').replace(_PLACE, ''.join(tags))


def addresses() -> Iterator[str]:
  """The scripts of the page, by their addresses in it, in order."""
  for folder, first in FOLDERS.items():
    found = sorted(file.name for file in (static() / folder).iterdir())
    rest = [name for name in found if name.removesuffix('.js') not in first]
    for name in (*(f'{name}.js' for name in first), *rest):
      yield f'static/{folder}/{name}'
    if folder == 'core':
      yield LIVE
  yield 'static/start.js'


def static() -> Traversable:
  """The folder of what the page is made of."""
  return resources.files('monosem_jax.site') / 'static'


def text(address: str) -> str:
  """A file of the page, by its address in it."""
  return (static() / address.removeprefix('static/')).read_text('utf-8')
