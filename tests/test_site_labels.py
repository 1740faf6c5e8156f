"""Labels on the page, in a browser."""

import json
import math

import browser
import pytest
from labelling import (
  HOSTILE,
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
from labels_given import BAD, RUBRIC, entry, points

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
  assert 'A/1 has only 66 features' in lines[1]
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
  blind, seen = 'section[aria-label="Scores, blind"]', 'Scores, not blind'
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
    "return /stores nothing/.test(document.querySelector('.said').textContent)"
  )
  assert page.js("return monosem.labels.text('A1', 5)") == 'in memory'
