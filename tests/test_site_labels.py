"""Labels by hand in a real browser: kept, saved, read, and made blind."""

import json
import math
import re
from unittest import mock

import browser
import exhibits
import pytest
from exhibits import DEAD, FEATURES
from test_labels import BAD, RUBRIC, entry, points

from monosem_jax.features import labels as hand

pytestmark = browser.needed

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
  labels = hand.of_run({'labels': entries}, 'A/1')
  with mock.patch.object(exhibits, 'table', same):
    exhibits.write(folder, ('A1', 'A_neurons'), labels=labels)


@pytest.fixture(scope='module')
def site(tmp_path_factory):
  folder = tmp_path_factory.mktemp('labels') / 'site'
  write(folder, THERE)
  return folder


@pytest.fixture(scope='module')
def served(site):
  with browser.served(site) as url:
    yield url


@pytest.fixture(scope='module')
def window():
  with browser.window() as page:
    # A page that is made again within a second is of the same date.
    page.cdp('Network.enable')
    page.cdp('Network.setCacheDisabled', cacheDisabled=True)
    yield page


@pytest.fixture
def page(window, served):
  """A page in a browser that has kept nothing."""
  window.open(f'{served}#help')
  window.until('return !!monosem.data.run')
  window.js('localStorage.clear()')
  window.served = served
  return window


def visit(page, where):
  page.open(f'{page.served}{where}')
  page.until('return !!document.querySelector("#main .view > *")')


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


def test_a_label_stays_and_is_saved_as_the_program_reads_it(page, tmp_path):
  visit(page, '#A1/0')
  fill(page, '.labels input', 'Ada')
  fill(page, '.labels textarea', HOSTILE)
  answer(page, '35213')
  assert page.texts('.sum') == ['14 of 14 points']
  press(page, 'Save label')
  page.until("return document.querySelector('.said').textContent === 'Saved.'")
  visit(page, '#A1/0')
  shown = page.texts('.entries li')
  assert len(shown) == 3
  assert any('Ada, 14 of 14 points' in text for text in shown)
  assert any('<b>model, a model, score 0.50' in text for text in shown)
  assert (
    page.js("return document.querySelector('.labels input').value") == 'Ada'
  )
  # In the list: one's own before others'.
  listed = page.js("return monosem.labels.text('A1', 0)")
  assert listed == HOSTILE
  assert '</script><img' in page.texts('.list .label')[0] + page.text()

  path = tmp_path / 'labels.json'
  path.write_bytes(saved(page))
  mine = entry('A/1/0', by='Ada', label=HOSTILE, blind=False)
  assert hand.load(path) == {
    'format': 1,
    'labels': [THERE[1], mine, THERE[0], THERE[2]],
  }
  # The file is in the order in which the program writes it.
  assert json.loads(path.read_text()) == hand.load(path)
  assert page.dialog() is None
  assert page.js("return document.querySelectorAll('img').length") == 0


def test_what_is_deleted_is_gone_also_where_the_page_came_with_it(page):
  visit(page, '#A1/0')
  fill(page, '.labels input', 'Bob')
  assert page.js("return document.querySelector('.labels textarea').value") == (
    'from the file'
  )
  press(page, 'Delete')
  page.until("return document.querySelectorAll('.entries li').length === 1")
  visit(page, '#A1/0')
  assert len(page.texts('.entries li')) == 1
  found = json.loads(saved(page))['labels']
  assert found == [THERE[1], THERE[2]]
  # Said again, it is there again.
  give(page, 'labels.json', file(THERE[0]))
  assert json.loads(saved(page))['labels'] == [THERE[1], THERE[0], THERE[2]]


def test_labels_outlive_a_new_export_which_does_not_win(page, site):
  mine = entry('A/1/0', by='Ada', label='mine', blind=False)
  give(page, 'labels.json', file(mine))
  later = [*THERE, mine | {'label': 'of the older file'}]
  write(site, [*later, entry('A/1/2', by='Bob', label='newer')])
  try:
    visit(page, '#A1/0')
    page.find('.entries')
    assert page.js("return monosem.labels.text('A1', 0)") == 'mine'
    assert page.js("return monosem.labels.text('A1', 2)") == 'newer'
    assert len(page.texts('.entries li')) == 3
  finally:
    write(site, THERE)


def test_a_file_is_taken_entry_by_entry(page):
  good = entry('A/1/7', TOP, by='Eve', label=HOSTILE)
  changed = THERE[0] | {'label': 'changed'}
  of_another = entry('Z/9/1', label='of a run that is not on this page')
  lines = give(
    page,
    'labels.json',
    file(
      good,
      changed,
      THERE[2],
      of_another,
      entry('A/1/66'),
      entry(by=HOSTILE * 100),
      good,
      7,
    ),
  )
  assert lines[0] == '2 new, 1 changed, 1 the same, 4 refused.'
  assert [line.partition(':')[0] for line in lines[1:]] == [
    *('labels[4]', 'labels[5]', 'labels[6]', 'labels[7]')
  ]
  assert 'A/1 has 66 features only' in lines[1]
  assert 'a name of 1 to 200 characters' in lines[2]
  found = json.loads(saved(page))['labels']
  assert (
    found
    == hand.merge({'labels': THERE}, {'labels': [good, changed, of_another]})[
      'labels'
    ]
  )
  assert '<img src=x' in page.text()
  assert page.dialog() is None
  assert page.js("return document.querySelectorAll('#main img').length") == 0


@pytest.mark.parametrize(
  'text', ['', '{', '[]', '{"format": 2, "labels": []}', '[' * 100_000]
)
def test_what_is_no_such_file_is_not_taken(page, text):
  (line,) = give(page, 'labels.json', text)
  assert line.startswith('Nothing was taken.')
  assert json.loads(saved(page))['labels'] == [THERE[1], THERE[0], THERE[2]]


def test_a_file_of_more_than_20_mb_is_not_read(page):
  visit(page, '#labelling')
  page.find('input[type=file]')
  page.js(
    """
    const input = document.querySelector('input[type=file]');
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(20e6 + 1)], 'labels.json'));
    input.files = files.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
    """
  )
  page.until(
    "return /20 MB/.test(document.querySelector('.refusals').innerText)"
  )


def test_the_page_refuses_what_the_program_refuses(page):
  bad = [entry(**{key: x}) for key, values in BAD.items() for x in values]
  bad += [
    entry(rubric=RUBRIC | {key: x})
    for key, x in [
      *(('confidence', 4), ('confidence', None), ('confidence', True)),
      *(('consistency', 6), ('logits', None), ('specificity', -1)),
      *(('separation', 2), ('logits', 3)),
    ]
  ]
  bad += [entry(label=' ', rubric=None), entry(more=1), {'feature': 'A/1/5'}]
  # JSON has no such numbers.
  bad = [
    x
    for x in bad
    if not (isinstance(x.get('score'), float) and not math.isfinite(x['score']))
  ]
  good = [
    entry('A/1/1', label='x' * 2_000),
    entry('A/1/2', label='\U0001f600' * 2_000, seconds=0),
    entry('A/1/3', rubric=RUBRIC | dict(logits=3, separation=None)),
    entry('A/1/4', 'Subsample Interval 10', label='', score=-1.5),
  ]
  found = page.js(
    'const { taken, refused } = monosem.labelfile.read(arguments[0]);'
    'return [taken, refused.map((line) => line.split(":")[0])]',
    file(*bad, *good),
  )
  assert found == [good, [f'labels[{i}]' for i in range(len(bad))]]


def test_scores_are_those_counted_by_hand(page):
  second = 'Subsample Interval 1'
  whole = points(3, 5, 3, None, 3)
  given = [
    entry('A/1/1', TOP, rubric=whole),  # 14
    entry('A/1/1', second, rubric=points(2, 4, 1, 1, 1)),  # 9
    entry('A/1/2', TOP, rubric=points(1, 4, 0, 1, 2)),  # 8
    entry('A/1/2', TOP, by='Eve', rubric=points(2, 2, 1, 0, 1)),  # 6
    entry('A/neurons/1', TOP, rubric=points(0, 0, 0, 0, 0)),  # 0
    entry('A/1/3', TOP, by='a model', kind='model', rubric=whole, score=0.9),
  ]
  give(page, 'labels.json', file(*given))
  visit(page, '#labelling')
  blind, seen = 'section[aria-label="Scores, blind"]', 'Scores, name in sight'
  page.find(f'{blind} td')
  rows = page.js(
    'return Array.from(document.querySelectorAll(arguments[0]), (row) =>'
    ' Array.from(row.cells, (cell) => cell.textContent))',
    f'{blind} tbody tr',
  )
  assert rows == [
    ['features', '12', '8.5', '4', '2', '50%'],
    ['neurons', '0', '0', '1', '1', '0%'],
    [TOP, '8 (of 3)', '0 (of 1)'],
    [second, '9 (of 1)', '–'],
  ]
  titles = page.texts(f'{blind} title')
  counted = {t.split(' points')[0]: t for t in titles if 'of features' in t}
  assert [k for k, t in counted.items() if ': 1 intervals' in t] == [
    *('6', '8', '9', '14')
  ]
  # The page came with one scored in sight: 14 points.
  assert page.texts(f'section[aria-label="{seen}"] tbody td')[2] == '14'


def test_separation_is_asked_only_where_some_logits_do_not_fit(page):
  visit(page, '#A1/5')
  disabled = (
    "return document.querySelector('[data-question=separation]').disabled"
  )
  page.find('.rubric')
  assert page.js(disabled) is False
  # Full marks in the third: the fifth answer is of the last question.
  answer(page, '3532')
  assert page.js(disabled) is True
  assert page.texts('.sum') == ['13 of 14 points']
  page.keys('1', css='[data-question=logits] input')
  assert page.js(disabled) is False
  assert page.texts('.sum') == ['']
  page.keys('n', css='[data-question=separation] input')
  assert page.texts('.sum') == ['11 of 14 points']
  press(page, 'Save label')
  page.until("return document.querySelector('.said').textContent === 'Saved.'")
  rubric = json.loads(saved(page))['labels'][-1]['rubric']
  assert rubric == points(3, 5, 1, None, 2)
  visit(page, '#A1/6')
  answer(page, '3')
  press(page, 'Save label')
  assert 'no answer yet' in page.texts('.labels .said')[0]


def test_a_browser_that_keeps_nothing_says_so(page):
  visit(page, '#A1/5')
  fill(page, '.labels textarea', 'in memory')
  page.js(
    'Storage.prototype.setItem = () => { throw new DOMException("", "X"); }'
  )
  press(page, 'Save label')
  page.until(
    "return /keeps nothing/.test(document.querySelector('.said').textContent)"
  )
  assert page.js("return monosem.labels.text('A1', 5)") == 'in memory'


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
  assert 'knows no such session' in page.text()


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
