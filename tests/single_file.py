"""The page in one file, written and opened."""

import base64
import functools
import pathlib
import re
import shutil
from unittest import mock

import browser
import exhibits
import program
from made_up import CUT, DEAD

from monosem_jax.site import export, pack, single

KEYS = ('A1', 'A2', 'B1')
# Two shards of the ordinary page; one is dead; 6 is of the low mode.
CHOSEN = [0, DEAD, 6, 9, CUT]
LABEL = {
  'feature': 'A/1/0',
  'interval': None,
  'label': '<img src=x onerror=alert(1)></script>',
  'by': '<b>me</b>',
  'kind': 'human',
  'blind': False,
  'rubric': None,
  'score': None,
}


def write(path: pathlib.Path, key: str = 'A1', chosen=CHOSEN) -> None:
  """The made-up page of `exhibits`, as one file."""
  scratch = path.parent / f'{path.name}.analysis'
  with mock.patch.object(export, 'write') as given:
    exhibits.write(path, KEYS, scratch, labels={0: [LABEL], 11: [LABEL]})
  shutil.rmtree(scratch)
  shown = dict(given.call_args.kwargs)
  for name in ('views', 'pictures'):
    del shown[name]
  single.write(path, **shown, key=key, chosen=chosen)


@functools.cache
def exported() -> pathlib.Path:
  """The file, alone in `file`, and beside it the page it is a part of."""

  def make(folder):
    (folder / 'made').mkdir(parents=True)
    write(folder / 'made/features.html')
    (folder / 'file').mkdir()
    (folder / 'made/features.html').rename(folder / 'file/moved.html')
    exhibits.write(
      folder / 'site',
      KEYS,
      folder / 'analysis',
      labels={0: [LABEL], 11: [LABEL]},
    )

  return program.once('single', make)


def packs(text: str) -> dict[str, tuple]:
  """The packs that a file has inside: build, meta and columns by name."""
  calls = re.findall(r'data\.arrived\("([^"]+)",atob\("([^"]*)"\)\);\n', text)
  return {name: pack.unpack(base64.b64decode(data)) for name, data in calls}


def quiet(page: browser.Page) -> None:
  """Nothing was complained of, and nothing asked for."""
  assert page.console() == []
  assert page.dialog() is None
  asked = 'return performance.getEntriesByType("resource").map((x) => x.name)'
  assert [
    x for x in page.js(asked) if not x.startswith(('data:', 'blob:'))
  ] == []
