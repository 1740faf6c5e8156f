"""Views and features of the page in a real browser, from disk and a server."""

import pathlib
import re

import browser
import made_up
import pytest
from made_up import CUT, DEAD, FEATURES, HOSTILE, VOCABULARY
from pages import SHOWN, VIEWS, address, exported, keep
from selenium.webdriver import Keys

pytestmark = browser.needed


@pytest.fixture
def site() -> pathlib.Path:
  return exported()


@pytest.fixture(params=['file', 'http'])
def url(request) -> str:
  with address(request.param) as found:
    yield found


# --- every view, and what is hostile in it


@pytest.mark.parametrize('view', VIEWS)
def test_every_view_opens_and_nothing_in_it_acts(window, url, view):
  page = window.view(url + view)
  page.until(
    'return !document.querySelector("#main").innerText.includes("loading")'
  )
  assert page.console() == []
  assert page.dialog() is None
  assert 'There is nothing at' not in page.text()
  tags = page.js(
    'return Array.from(document.querySelectorAll("*"), (n) => n.localName)'
  )
  assert not {'b', 'iframe', 'object', 'embed'} & set(tags)
  images = page.js(
    'return Array.from(document.images, (i) => i.getAttribute("src"))'
  )
  assert not [src for src in images if not src.startswith('pictures/')]
  # Nothing pushes the page beyond the window.
  wide = 'return document.documentElement.scrollWidth - innerWidth'
  assert page.js(wide) <= 0
  keep(page, re.sub(r'\W+', '-', view).strip('-'))


def test_the_page_asks_for_nothing_but_its_own_files(site, window):
  asked = []
  with browser.served(site, asked.append) as url:
    for view in VIEWS:
      window.view(url + view)
  # A browser asks for an icon by itself.
  names = {path.partition('?')[0].lstrip('/') for path in asked}
  names -= {'', 'favicon.ico'}
  assert {name for name in names if not (site / name).is_file()} == set()


def test_hostile_tokens_are_text(window, url):
  page = window.view(f'{url}#A1/0')
  page.find('.examples .token')
  windows = made_up.table().example_tokens_FEW[0].ravel().tolist()
  expected = {VOCABULARY[id] for id in windows} | set(HOSTILE)
  shown = set(page.texts('.examples .token'))
  assert {SHOWN.get(token, token) for token in expected} <= shown


def test_what_is_spelled_out_reads_from_left_to_right(window, url):
  """Also behind letters that do not: its own box stands left of theirs."""
  page = window.view(f'{url}#A1/0')
  found = page.js("""
    const node = monosem.tokens.chipOf('\\u0627\\u0644\\\\xd8');
    document.querySelector('.feature').prepend(node);
    const own = node.querySelector('[dir=ltr]');
    const range = document.createRange();
    const left = (text, i) => {
      range.setStart(text, i);
      range.setEnd(text, i + 1);
      return range.getBoundingClientRect().left;
    };
    const text = own.firstChild;
    const places = Array.from(text.data, (_, i) => left(text, i));
    node.remove();
    return [node.textContent, own.textContent, places];
  """)
  assert found[:2] == ['\u0627\u0644\\xd8', '\\xd8']
  assert found[2] == sorted(found[2]) and len(set(found[2])) == 4


def test_hostile_labels_are_text(window, url):
  page = window.view(f'{url}#A1/0')
  page.find('.featurehead .label')
  seen = '<img src=x onerror=alert(1)>\\u{202e} label'
  assert page.texts('.featurehead .label') == [seen]
  assert seen in page.texts('.list .label')


# --- a feature


def test_a_features_panels_are_drawn(window, url):
  page = window.view(f'{url}#A2/{CUT}')
  page.find('.examples')
  assert page.texts('h2') == [f'A/2/{CUT}']
  assert page.js('return document.title') == f'A/2/{CUT}'
  headings = page.texts('.feature > .panels h3')
  assert headings[:6] == [
    *('Activations', 'Logit weights', 'Positive logits', 'Negative logits'),
    *('Neuron alignment', 'Correlated neurons'),
  ]
  groups = page.texts('.feature > .wideblock h3')
  assert groups == [group['name'] for group in made_up.GROUPS]
  assert len(page.texts('.histogram rect')) == 80
  # The second of the two top examples is not there.
  assert len(page.texts('.examples > li')) == 13


def test_a_dead_feature_says_so(window, url):
  page = window.view(f'{url}#A1/{DEAD}')
  [said] = page.texts('.silent')
  assert 'never fired on the 1,000 tokens' in said
  assert page.texts('.examples > li') == []


@pytest.mark.parametrize('place', [f'A1/{FEATURES}', 'A1/x', 'A1/-1'])
def test_an_unknown_feature_is_named(window, url, place):
  page = window.view(f'{url}#{place}')
  [said] = page.texts('.silent')
  assert f'There is no feature at #{place}' in said


@pytest.mark.parametrize('place', ['nowhere', 'constructor', '%zz', 'A9/1'])
def test_an_unknown_view_is_named(window, url, place):
  page = window.view(f'{url}#{place}')
  assert page.texts('.silent') == [f'There is nothing at #{place}.']


def test_a_token_says_what_is_known_of_it(window, url):
  """Against the arrays that the page was made from."""
  page = window.view(f'{url}#A1/0')
  table = made_up.table()
  effects = made_up.effects(table)
  # The fourth token of the first example has the first effect.
  [m] = (effects.at_M == 3).nonzero()[0]
  css = '.examples > li .line .token:nth-child(4)'
  page.hover(css)
  page.until(
    'return !Array.from(document.querySelectorAll("#tooltip dd"))'
    '.some((node) => node.textContent === "…")'
  )
  found = dict(
    zip(page.texts('#tooltip dt'), page.texts('#tooltip dd'), strict=True)
  )
  act = float(table.example_acts_FEW[0, 0, 3])
  assert float(found['activation']) == pytest.approx(act, rel=1e-2)
  signed = lambda x: f'{x:+.2f} nats'.replace('-', '\u2212')
  loss = effects.loss_M[m]
  assert found['loss without the feature'] == signed(loss)
  position = int(table.example_position_FE[0, 0]) + 3 - made_up.BEFORE
  assert found['position'] == str(position)
  contexts = made_up.contexts()
  span = made_up.span(table.example_context_FE[0, 0], position)
  document = contexts.document_S[span]
  offset = contexts.offset_S[span] + position - contexts.position_S[span]
  assert found['from'] == (
    f'{made_up.SUBSETS[contexts.subset_S[span]]}, document {document}, '
    f'token {offset} of it'
  )
  assert re.fullmatch(
    '[+\u2212]?\\d\\.\\d\\d nats', found['loss without the residual']
  )
  ids = effects.raised_ids_Mk[m].tolist()
  shown = page.texts('#tooltip .changes:nth-of-type(2) .token')
  assert shown == [SHOWN.get(VOCABULARY[i], VOCABULARY[i]) for i in ids]
  underlined = page.js(
    'return document.querySelector(arguments[0]).className', css
  )
  assert ('helped' in underlined) == (loss > 0)
  assert ('hurt' in underlined) == (loss < 0)


def test_the_keyboard_walks_a_line_of_tokens(window, url):
  page = window.view(f'{url}#A1/0')
  own = '.examples > li .line .own'
  page.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, css=own)
  at = 'return Array.from(document.activeElement.parentElement.children)'
  at += '.indexOf(document.activeElement)'
  assert page.js(at) == made_up.BEFORE + 2
  assert page.js('return document.getElementById("tooltip").hidden') is False
  page.keys(Keys.ESCAPE)
  assert page.js('return document.getElementById("tooltip").hidden') is True


def test_an_example_shows_its_whole_context(window, url):
  page = window.view(f'{url}#A1/0')
  page.click('.examples > li > button')
  page.find('.wide .token')
  shown = page.texts('.wide .token')
  context = int(made_up.table().example_context_FE[0, 0])
  ids = made_up.contexts().tokens_CT[context].tolist()
  assert shown == [SHOWN.get(VOCABULARY[i], VOCABULARY[i]) for i in ids]
  page.click('.examples > li > button')
  assert page.texts('.wide') == []


def test_links_lead_to_features_and_back(window, url):
  page = window.view(f'{url}#A1/0')
  page.click('.relatives a')
  page.until('return location.hash !== "#A1/0"')
  went = page.hash.split('?')[0]
  page.until(
    'return document.querySelector("h2").textContent === arguments[0]',
    went.removeprefix('#').replace('A1', 'A/1').replace('A2', 'A/2'),
  )
  page.js('history.back()')
  page.until('return document.querySelector("h2").textContent === "A/1/0"')
