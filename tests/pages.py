"""The page of three sets of made-up features, to be opened in a browser."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Iterator

import browser
import exhibits
import program

KEYS = ('A1', 'A2', 'B1')
# As the page spells out what would not be seen.
SHOWN = {
  '\u202eright to left\u2066': '\\u{202e}right to left\\u{2066}',
  'nul\x00': 'nul\\x00',
  'line\u2028separator': 'line\\u{2028}separator',
  'half\ud800': 'half\\u{d800}',
  'long' * 25_000: 'long' * 20 + '…',
  '\n': '↵',
  '\t': '⇥',
}
VIEWS = (
  *('#A1/0', '#A2/65', '#texts', '#texts/B1/2', '#map/small', '#splitting'),
  *('#splitting/A1/3', '#universality', '#universality/A1/5', '#automata'),
  *('#automata/0', '#automata/A1/4', '#scorecard', '#labelling', '#help'),
)
LABEL = {
  'feature': 'A/1/0',
  'interval': None,
  'label': '<img src=x onerror=alert(1)>\u202e label',
  'by': '<b>me</b>',
  'kind': 'human',
  'blind': False,
  'rubric': None,
  'score': None,
}


@functools.cache
def exported() -> pathlib.Path:
  """The page of three sets, with labels."""

  def make(folder):
    labels = {0: [LABEL]}
    exhibits.write(folder / 'site', KEYS, folder / 'analysis', labels=labels)

  return program.once('browser', make) / 'site'


@contextlib.contextmanager
def address(scheme: str) -> Iterator[str]:
  """Where the page is, on the disk or on a server."""
  if scheme == 'file':
    yield (exported() / 'index.html').as_uri()
  else:
    with browser.served(exported()) as url:
      yield url + 'index.html'


def keep(page: browser.Page, name: str) -> None:
  """Keeps a picture of the page where MONOSEM_SCREENSHOTS names a folder."""
  if folder := os.environ.get('MONOSEM_SCREENSHOTS'):
    path = pathlib.Path(folder) / f'{name}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    assert page.driver.save_screenshot(path)
