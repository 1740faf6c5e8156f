"""Labels given on the page, in a browser."""

import contextlib
import json
from unittest import mock

import browser
import exhibits
from labels_given import entry

from monosem_jax.features import labels as hand

HOSTILE = '</script><img src=x onerror=alert(1)>\u202e\x00'
# What the page came with: of another annotator, and of a model.
THERE = [
  entry('A/1/0', by='Bob', label='from the file', blind=False, rubric=None),
  entry(
    'A/1/0', by='<b>model', kind='model', blind=False, rubric=None, score=0.5
  ),
  entry('A/1/1', by='Bob', label=HOSTILE, blind=False),
]
TOP = 'Top Activations'


def write(folder, entries):
  """A page whose features and neurons are of the same numbers."""
  table = exhibits.table
  same = lambda run, seed: table(run, 0)
  labels = hand.of_set({'labels': entries}, 'A/1')
  with mock.patch.object(exhibits, 'table', same):
    exhibits.write(folder, ('A1', 'A_neurons'), labels=labels)


@contextlib.contextmanager
def uncached():
  """A window for a page that is made again within a second."""
  with browser.window() as page:
    # It is of the same date.
    page.driver.execute_cdp_cmd('Network.enable', {})
    disabled = {'cacheDisabled': True}
    page.driver.execute_cdp_cmd('Network.setCacheDisabled', disabled)
    yield page


@contextlib.contextmanager
def forgetful(window, site):
  """A page in a browser that has kept nothing."""
  with browser.served(site) as served:
    window.open(f'{served}#help')
    window.until('return !!monosem.data.run')
    window.js('localStorage.clear()')
    window.served = served
    yield window


def visit(page, where):
  page.view(f'{page.served}{where}')


def give(page, name, text):
  """Gives a file to the page's file input; returns what it says of it."""
  visit(page, '#labelling')
  page.find('input[type=file]')
  page.js(
    """
    const input = document.querySelector('input[type=file]');
    const files = new DataTransfer();
    files.items.add(new File([arguments[1]], arguments[0]));
    input.files = files.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
    """,
    *(name, text),
  )
  page.until(
    'return /refused|Nothing|larger/.test('
    "document.querySelector('.refusals').textContent)"
  )
  return page.texts('.refusals li')


def saved(page):
  visit(page, '#labelling')
  page.js(
    "Array.from(document.querySelectorAll('button')).find((x) =>"
    " x.textContent === 'Save labels.json').click()"
  )
  data = page.downloaded('labels.json')
  (page.downloads / 'labels.json').unlink()
  return data


def press(page, text):
  page.js(
    "Array.from(document.querySelectorAll('#main button')).find((x) =>"
    ' x.textContent === arguments[0]).click()',
    text,
  )


def fill(page, css, text):
  page.find(css)
  page.js(
    """
    const node = document.querySelector(arguments[0]);
    node.value = arguments[1];
    node.dispatchEvent(new Event('change', { bubbles: true }));
    """,
    *(css, text),
  )


def answer(page, digits):
  page.js("document.querySelector('.rubric').closest('details')?.toggleAttribute"
          "('open', true)")  # fmt: skip
  page.keys(*digits, css='.rubric input')


def file(*entries):
  return json.dumps({'format': 1, 'labels': entries})
