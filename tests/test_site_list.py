"""The list, texts, and what is broken, printed or saved, in a real browser."""

import json
import pathlib
import re
import shutil

import browser
import exhibits
import made_up
import pytest
from made_up import DEAD, FEATURES, VOCABULARY
from pages import KEYS, VIEWS, address, exported, keep
from selenium.webdriver import Keys

pytestmark = browser.needed


@pytest.fixture
def site() -> pathlib.Path:
  return exported()


@pytest.fixture(params=['file', 'http'])
def url(request) -> str:
  with address(request.param) as found:
    yield found


# --- the list


def rows(page: browser.Page) -> list[int]:
  return [int(x) for x in page.texts('.list .longrow > span:first-child')]


def test_the_keyboard_opens_features_in_the_chosen_order(window, url):
  page = window.view(f'{url}#A1/9')
  page.keys(Keys.HOME, Keys.ARROW_DOWN, Keys.ENTER, css='.list .longlist')
  # All maxima are equal.
  page.until('return location.hash === "#A1/1"')
  page.js(
    'const s = document.querySelectorAll(".order select")[2];'
    's.value = "density"; s.dispatchEvent(new Event("change"))'
  )
  page.keys(Keys.HOME, Keys.ENTER, css='.list .longlist')
  page.until(f'return location.hash === "#A1/{FEATURES - 1}?sort=density"')
  page.until(f'return document.title === "A/1/{FEATURES - 1}"')
  page.keys(']')
  page.until(f'return location.hash === "#A1/{FEATURES - 2}?sort=density"')
  assert rows(page)[:3] == [65, 64, 63]
  # Twice at once are two steps.
  page.keys(']', ']')
  page.until(f'return document.title === "A/1/{FEATURES - 4}"')


def test_the_list_draws_only_what_is_in_view(window, url):
  page = window.view(f'{url}#A1/0')
  assert 10 < len(rows(page)) < FEATURES / 2 + 8


@pytest.mark.parametrize(
  ('query', 'expected'),
  [
    ('only=dead', [DEAD]),
    ('only=low&sort=index', [6, 13, 20, 27, 34, 41, 48, 55, 62]),
    ('q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&in=label', [0]),
    ('q=LABEL&in=label', [0]),
    ('q=no%20such%20thing', []),
  ],
)
def test_the_address_says_how_the_list_is_filtered(
  window, url, query, expected
):
  page = window.view(f'{url}#A1/0?{query}')
  page.find('.list .longlist')
  assert rows(page) == expected


@pytest.mark.parametrize(
  ('query', 'pattern', 'columns'),
  [
    ('word1', r'word1', ('fires', 'raises')),
    ('^ word1.$', r'^ word1.$', ('raises',)),
  ],
)
def test_search_finds_tokens(window, url, query, pattern, columns):
  """Against the tables."""
  table = made_up.table()
  own = table.example_tokens_FEW[:, :2, made_up.BEFORE]
  ids = {'raises': table.logit_top_ids_FL[:, :4], 'fires': own}
  there = table.example_stop_FE[:, :2] > 0
  expected = []
  for i in range(FEATURES):
    found = {int(x) for x in ids['raises'][i]} if 'raises' in columns else set()
    if 'fires' in columns:
      # A feature without examples stands with the first place's token.
      shown = own[i][there[i]] if there[i].any() else own[i][:1]
      found |= {int(x) for x in shown}
    if any(re.search(pattern, VOCABULARY[x]) for x in found):
      expected.append(i)
  where = 'raises' if columns == ('raises',) else 'any'
  page = window.view(f'{url}#A1/0?sort=index&in={where}&regex=1')
  page.keys('/')
  page.keys(*query)
  page.until(
    'return document.querySelector("[role=status]").textContent === '
    'arguments[0]',
    f'{len(expected)} of {FEATURES} features',
  )
  shown = rows(page)
  assert shown == expected[: len(shown)]
  assert 'q=' in page.hash


def test_half_a_pattern_is_no_crash(window, url):
  page = window.view(f'{url}#A1/0?regex=1')
  page.keys('/')
  page.keys('(')
  page.until('return !!document.querySelector("[role=status].wrong")')
  page.keys('w', ')')
  page.until('return !document.querySelector("[role=status].wrong")')


def test_a_question_mark_opens_help(window, url):
  page = window.view(f'{url}#A1/0')
  page.keys('?')
  page.until('return location.hash === "#help"')


# --- texts


def test_a_token_of_a_text_ranks_its_features(window, url, site):
  import numpy as np

  page = window.view(f'{url}#texts/A2/1?token=7')
  page.find('.relatives')
  found = np.load(site.parent / 'analysis/texts/A2.npz')
  feature_L = found['feature_XTL'][1, 7]
  kept = feature_L >= 0
  panels = page.js(
    'return Array.from(document.querySelectorAll(".relatives"), (list) =>'
    ' Array.from(list.querySelectorAll("a"), (a) => a.textContent))'
  )
  for panel, name in zip(
    panels, ('activation_XTL', 'attribution_XTL'), strict=True
  ):
    value_L = found[name][1, 7][kept].astype(np.float16)
    order = np.argsort(-value_L.astype(np.float64), kind='stable')
    assert panel == [f'A/2/{i}' for i in feature_L[kept][order]]


# --- what is broken


@pytest.mark.parametrize('form', ['file', 'http'])
@pytest.mark.parametrize('how', ['cut', 'altered', 'stale', 'gone'])
def test_a_broken_shard_says_so(site, tmp_path, window, form, how):
  broken = tmp_path / 'site'
  shutil.copytree(site, broken)
  shard = broken / 'data/A1/0001.js'
  data = shard.read_bytes()
  if how == 'cut':
    shard.write_bytes(data[: len(data) // 2])
  elif how == 'altered':
    middle = len(data) // 2
    shard.write_bytes(data[:middle] + b'\0' * 9 + data[middle + 9 :])
  elif how == 'stale':
    exhibits.write(tmp_path / 'new', KEYS, tmp_path / 'more', build='another')
    shard.write_bytes((tmp_path / 'new/data/A1/0001.js').read_bytes())
  else:
    shard.unlink()
  said = {
    'cut': 'incomplete',
    'altered': 'cut short or altered',
    'stale': 'from another export',
    'gone': 'could not be loaded',
  }[how]
  with browser.served(broken) as base:
    start = (broken / 'index.html').as_uri() if form == 'file' else base
    page = window
    page.open(f'{start}#A1/65')
    page.find('.feature .silent')
    assert re.search(said, page.texts('.feature .silent')[0])
    assert 'data/A1/0001' in page.texts('.feature .silent')[0]
    # The rest of the page still works.
    page.open(f'{start}#A1/1')
    page.find('.feature .examples')
  page.console()


# --- reading, printing, saving


def emulate(page: browser.Page, dark: bool = False, media: str = '') -> None:
  """A reader who prefers a dark page, or a printer."""
  scheme = {
    'name': 'prefers-color-scheme',
    'value': 'dark' if dark else 'light',
  }
  page.driver.execute_cdp_cmd(
    'Emulation.setEmulatedMedia', {'media': media, 'features': [scheme]}
  )


def contrast(one: str, other: str) -> float:
  """The ratio of WCAG 2 of two colours, as the browser writes them."""

  def luminance(colour: str) -> float:
    parts = [float(x) / 255 for x in re.findall(r'[\d.]+', colour)[:3]]
    r, g, b = (
      x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts
    )
    return 0.2126 * r + 0.7152 * g + 0.0722 * b

  light, dark = sorted((luminance(one), luminance(other)), reverse=True)
  return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize('dark', [False, True])
def test_text_stands_out_from_its_ground(window, url, dark):
  page = window
  emulate(page, dark=dark)
  page.view(f'{url}#A1/0')
  page.find('.examples')
  ground = page.js('return getComputedStyle(document.body).backgroundColor')
  colours = page.js("""
    const found = new Set();
    for (const node of document.querySelectorAll('#main *, header *')) {
      const own = Array.from(node.childNodes).some(
        (child) => child.nodeType === 3 && child.data.trim());
      if (own && node.getClientRects().length) {
        found.add(getComputedStyle(node).color);
      }
    }
    return Array.from(found);
  """)
  keep(page, f'feature-{"dark" if dark else "light"}')
  emulate(page)
  assert min(contrast(colour, ground) for colour in colours) >= 4.5


def test_controls_have_names(window, url):
  for view in VIEWS:
    page = window.view(url + view)
    nameless = page.js("""
      const named = (node) => node.labels?.length || node.textContent.trim() ||
        node.getAttribute('aria-label') || node.title;
      return Array.from(
        document.querySelectorAll('a, button, input, select, textarea'),
      ).filter((node) => !named(node)).map((node) => node.outerHTML);
    """)
    assert nameless == [], view


def test_the_page_prints_the_feature(window, url):
  page = window.view(f'{url}#A1/0')
  page.find('.examples')
  emulate(page, media='print')
  shown = 'return document.querySelector(arguments[0]).getClientRects().length'
  assert page.js(shown, '.list') == 0
  assert page.js(shown, '.feature h2') == 1
  # All of it, not what fits a window.
  assert (
    page.js(
      'const node = document.querySelector(".feature");'
      'return node.scrollHeight - node.clientHeight'
    )
    <= 0
  )
  emulate(page)


def test_a_panel_is_saved_as_a_picture(window, url):
  page = window.view(f'{url}#A1/0')
  page.find('.examples')
  css = '[aria-label="Save Top Activations as {}"]'
  page.js('document.querySelector(arguments[0]).click()', css.format('SVG'))
  name = 'A1-0-top-activations'
  drawn = page.downloaded(f'{name}.svg').decode()
  assert drawn.startswith('<svg')
  assert '&lt;img src=x onerror=alert(1)&gt;' in drawn or 'word' in drawn
  assert '<script' not in drawn
  # What helped and what hurt are told apart there, too.
  there = '[aria-label="Top Activations"] .{}'
  dashes = {'helped': 'none', 'hurt': '2 2'}
  kinds = [kind for kind in dashes if page.texts(there.format(kind))]
  assert kinds
  for kind in kinds:
    assert f'stroke-dasharray="{dashes[kind]}"' in drawn
  page.js('document.querySelector(arguments[0]).click()', css.format('PNG'))
  png = page.downloaded(f'{name}.png')
  assert png[:8] == b'\x89PNG\r\n\x1a\n'
  width, height = (int.from_bytes(png[i : i + 4]) for i in (16, 20))
  assert width > 800 and height > 40
  for file in page.downloads.iterdir():
    file.unlink()


def test_scripts_off_says_so(site):
  assert 'please allow its scripts' in (site / 'index.html').read_text()


def test_numbers_of_the_run_are_on_the_scorecard(window, url):
  page = window.view(f'{url}#scorecard')
  text = page.text()
  assert json.loads('"A/1"') in text
  for said in ('loss recovered', '0.900', 'documents by subset', 'checksums'):
    assert said in text
  assert 'which need 10,000,000' in text
