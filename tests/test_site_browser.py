"""The page in a real browser, from disk and from a server."""

import json
import os
import pathlib
import re
import shutil

import browser
import exhibits
import pytest
from exhibits import CUT, DEAD, FEATURES, HOSTILE, VOCABULARY

pytestmark = browser.needed

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


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('browser')
  exhibits.write(
    folder / 'site', KEYS, folder / 'analysis', labels={0: [LABEL]}
  )
  return folder / 'site'


@pytest.fixture(scope='module')
def served(site):
  with browser.served(site) as url:
    yield url


@pytest.fixture(scope='module')
def window():
  with browser.window() as page:
    yield page


@pytest.fixture(params=['file', 'http'])
def url(request, site) -> str:
  if request.param == 'file':
    return (site / 'index.html').as_uri()
  return request.getfixturevalue('served') + 'index.html'


def keep(page: browser.Page, name: str) -> None:
  """Keeps a picture of the page where MONOSEM_SCREENSHOTS names a folder."""
  if folder := os.environ.get('MONOSEM_SCREENSHOTS'):
    page.screenshot(pathlib.Path(folder) / f'{name}.png')


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
  windows = exhibits.table().example_tokens_FEW[0].ravel().tolist()
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
  assert groups == [group['name'] for group in exhibits.GROUPS]
  assert len(page.texts('.histogram rect')) == 80
  # The second of the two top examples is not there.
  assert len(page.texts('.examples > li')) == 13


def test_a_dead_feature_says_so(window, url):
  page = window.view(f'{url}#A1/{DEAD}')
  # The view stands before its shard has come.
  page.until('return !!document.querySelector(".silent")')
  [said] = page.texts('.silent')
  assert 'never fired in the 1,000 tokens' in said
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
  table = exhibits.table()
  effects = exhibits.effects(table)
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
  position = int(table.example_position_FE[0, 0]) + 3 - exhibits.BEFORE
  assert found['position'] == str(position)
  contexts = exhibits.contexts()
  span = exhibits.span(table.example_context_FE[0, 0], position)
  document = contexts.document_S[span]
  offset = contexts.offset_S[span] + position - contexts.position_S[span]
  assert found['from'] == (
    f'{exhibits.SUBSETS[contexts.subset_S[span]]}, document {document}, '
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
  page.keys('ArrowRight', 'ArrowRight', css=own)
  at = 'return Array.from(document.activeElement.parentElement.children)'
  at += '.indexOf(document.activeElement)'
  assert page.js(at) == exhibits.BEFORE + 2
  assert page.js('return document.getElementById("tooltip").hidden') is False
  page.keys('Escape')
  assert page.js('return document.getElementById("tooltip").hidden') is True


def test_an_example_shows_its_whole_context(window, url):
  page = window.view(f'{url}#A1/0')
  page.click('.examples > li > button')
  page.find('.wide .token')
  shown = page.texts('.wide .token')
  context = int(exhibits.table().example_context_FE[0, 0])
  ids = exhibits.contexts().tokens_CT[context].tolist()
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


# --- the list


def rows(page: browser.Page) -> list[int]:
  return [int(x) for x in page.texts('.list .longrow > span:first-child')]


def test_the_keyboard_opens_features_in_the_chosen_order(window, url):
  page = window.view(f'{url}#A1/9')
  page.keys('Home', 'ArrowDown', 'Enter', css='.list .longlist')
  # All maxima are equal.
  page.until('return location.hash === "#A1/1"')
  page.js(
    'const s = document.querySelectorAll(".order select")[2];'
    's.value = "density"; s.dispatchEvent(new Event("change"))'
  )
  page.keys('Home', 'Enter', css='.list .longlist')
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
  table = exhibits.table()
  own = table.example_tokens_FEW[:, :2, exhibits.BEFORE]
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
    'cut': 'not whole',
    'altered': 'cut short or altered',
    'stale': 'of another export',
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
  page.dark(dark)
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
  page.dark(False)
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
  page.cdp('Emulation.setEmulatedMedia', media='print')
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
  page.cdp('Emulation.setEmulatedMedia', media='')


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
  assert 'please allow them' in (site / 'index.html').read_text()


def test_numbers_of_the_run_are_on_the_scorecard(window, url):
  page = window.view(f'{url}#scorecard')
  text = page.text()
  assert json.loads('"A/1"') in text
  for said in ('loss recovered', '0.900', 'documents by subset', 'checksums'):
    assert said in text
  assert '10,000,000 can' in text
