"""Blind labelling on the page, in a browser."""

import json
import re

import browser
import pytest
from labelling import (
  THERE,
  TOP,
  answer,
  file,
  fill,
  forgetful,
  give,
  press,
  saved,
  uncached,
  visit,
  write,
)
from labels_given import entry, points
from made_up import DEAD, FEATURES

from monosem_jax.features import labels as hand

pytestmark = browser.needed


@pytest.fixture(scope='module')
def site(tmp_path_factory):
  folder = tmp_path_factory.mktemp('labels') / 'site'
  write(folder, THERE)
  return folder


@pytest.fixture(scope='module')
def window():
  with uncached() as page:
    yield page


@pytest.fixture
def page(window, site):
  with forgetful(window, site) as page:
    yield page


def begin(page, seed, each=6, intervals=2, by='Ada'):
  visit(page, '#labelling')
  page.find('.setup')
  for label, value in (
    *(('of each set', each), ('intervals of each', intervals)),
    *(('seed', seed), ('by', by)),
  ):
    page.js(
      """
      const field = Array.from(document.querySelectorAll('.setup .field'))
        .find((x) => x.textContent === arguments[0]);
      field.querySelector('input').value = arguments[1];
      """,
      *(label, str(value)),
    )
  press(page, 'Start')
  page.find('.item')
  return sessions(page)[str(seed)]['items']


def sessions(page):
  return page.js(
    "return JSON.parse(localStorage.getItem(monosem.labels.place('blind')))"
  )


def test_items_are_live_of_each_set_as_many_and_those_of_the_seed(page):
  items = begin(page, 7)
  assert len(items) == 24
  assert items == sorted(items, key=items.index)
  for key in ('A1', 'A_neurons'):
    numbers = [number for own, number, _ in items if own == key]
    assert len(numbers) == 12
    assert len(set(numbers)) == 6
    assert all(n % 7 != 6 and n != DEAD and n < FEATURES for n in numbers)
  assert len({tuple(item) for item in items}) == 24
  assert all(
    re.fullmatch(r'Top Activations|Subsample Interval \d+', interval)
    for _, _, interval in items
  )
  # Intervals of one come together, and kinds are mixed.
  pairs = list(zip(items[::2], items[1::2], strict=True))
  assert all(a[:2] == b[:2] for a, b in pairs)
  kinds = [a[0] for a, _ in pairs]
  assert kinds not in (sorted(kinds), sorted(kinds, reverse=True))
  page.js('localStorage.clear()')
  assert begin(page, 7) == items
  page.js('localStorage.clear()')
  assert begin(page, 8) != items


def test_a_feature_that_the_annotator_knows_is_not_drawn(page):
  known = [entry(f'A/1/{i}', by='Ada') for i in range(60)]
  give(page, 'labels.json', file(*known))
  items = begin(page, 7, each=1000, intervals=1)
  # Of 60 to 65, the 62nd is not live.
  assert {n for key, n, _ in items if key == 'A1'} == {60, 61, 63, 64, 65}
  assert len([key for key, _, _ in items if key == 'A_neurons']) > 50


def test_nothing_tells_a_feature_from_a_neuron(page):
  """Both have the same numbers and texts here, and so must look the same."""
  begin(page, 9)
  found = sessions(page)
  interval = 'Subsample Interval 4'
  found['9']['items'] = [
    ['A1', 8, TOP],
    *([key, 5, interval] for key in ('A1', 'A_neurons')),
    *([key, 41, TOP] for key in ('A1', 'A_neurons')),
  ]
  page.js(
    "localStorage.setItem(monosem.labels.place('blind'), arguments[0])",
    json.dumps(found),
  )
  seen = []
  for i in range(2, 6):
    visit(page, f'#labelling/blind/9/{i}')
    page.find('.item')
    page.hover('.examples .token')
    page.find('#tooltip:not([hidden])')
    html = page.js('return document.documentElement.outerHTML')
    assert page.hash == f'#labelling/blind/9/{i}'
    title = page.js('return document.title')
    for leak in ('A/1/', 'A1/', 'A_neurons', 'neurons/', 'density', '2.50'):
      assert leak not in html + title, leak
    for token in page.js(
      "return Array.from(document.querySelectorAll('.item .token'), (node) =>"
      ' Object.keys(monosem.tokens.about.get(node) ?? {}))'
    ):
      assert set(token) <= {'id', 'share'}
    html = re.sub(r'(?i)item \d of|name="rubric\d+|blind/9/\d', '', html)
    seen.append(html + re.sub(r'\d', '', title))
  assert seen[0] == seen[1]
  assert seen[2] == seen[3]
  assert seen[0] != seen[2]


def test_blind_labels_are_kept_as_such_and_gone_on_with(page, tmp_path):
  items = begin(page, 3, each=2, intervals=2)
  assert page.hash == '#labelling/blind/3/1'
  fill(page, '.item textarea', 'my hypothesis')
  answer(page, '24101')
  page.js(
    "document.dispatchEvent(new KeyboardEvent('keydown',"
    " { key: 'Enter', ctrlKey: true }))"
  )
  page.until("return location.hash === '#labelling/blind/3/2'")
  page.until("return /Item 2/.test(document.querySelector('h2').textContent)")
  # The second interval of the same one: the hypothesis stands there already.
  assert page.js("return document.querySelector('.item textarea').value") == (
    'my hypothesis'
  )
  press(page, 'Save and go on')
  assert 'no answer yet' in page.texts('.said')[0]
  assert page.hash == '#labelling/blind/3/2'
  # After a reload it goes on where it stood.
  visit(page, '#labelling/blind/3')
  page.until("return location.hash === '#labelling/blind/3/2'")
  press(page, 'Skip')
  page.until("return location.hash === '#labelling/blind/3/3'")
  visit(page, f'#labelling/blind/3/{len(items) + 1}')
  assert page.texts('h2') == ['That was the last one']
  assert 'Item 2 was skipped' in page.text()

  path = tmp_path / 'labels.json'
  path.write_bytes(saved(page))
  key, number, interval = items[0]
  run = {'A1': 'A/1', 'A_neurons': 'A/neurons'}[key]
  (mine,) = [x for x in hand.load(path)['labels'] if x['by'] == 'Ada']
  assert 0 <= mine.pop('seconds') < 60
  assert mine == entry(
    f'{run}/{number}',
    interval,
    label='my hypothesis',
    rubric=points(2, 4, 1, 0, 1),
  )
  assert '1 of 8 by Ada' in page.texts('.sessions li')[0]
  press(page, 'Forget')
  assert page.texts('.sessions li') == []
  visit(page, '#labelling/blind/3/1')
  assert 'has no such session' in page.text()


def test_it_works_from_disk(window, site):
  window.open(f'{site.as_uri()}/index.html#labelling')
  window.find('.setup')
  window.js('localStorage.clear()')
  window.open(f'{site.as_uri()}/index.html#A1/5')
  fill(window, '.labels textarea', 'from disk')
  press(window, 'Save label')
  window.open(f'{site.as_uri()}/index.html#A1/5')
  window.find('.entries li')
  assert 'from disk' in window.texts('.entries li')[0]
