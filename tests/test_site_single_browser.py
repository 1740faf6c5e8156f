"""The page in one file, in a browser."""

import base64
import hashlib
import html
import html.parser
import json
import pathlib
import re
import time

import browser
import made_up
import pytest
from made_up import CUT, DEAD, FEATURES, HOSTILE, VOCABULARY
from single_file import CHOSEN, LABEL, exported, quiet


@pytest.fixture
def folder() -> pathlib.Path:
  return exported()


@pytest.fixture
def text(folder) -> str:
  return (folder / 'file/moved.html').read_text()


# --- in a browser


@pytest.fixture(params=['file', 'http'])
def url(request, folder) -> str:
  if request.param == 'file':
    yield (folder / 'file/moved.html').as_uri()
  else:
    with browser.served(folder / 'file') as base:
      yield f'{base}moved.html'


RECORD = """
  const [key, number] = arguments;
  return monosem.record.feature(key, number).then((found) => JSON.stringify(
    found, (name, x) => x instanceof Map ? [...x] :
      ArrayBuffer.isView(x) ? Array.from(x) : x));
"""
ARTICLE = """
  return document.querySelector('article.feature').innerText
    .replaceAll('…', '');
"""


@browser.needed
@pytest.mark.parametrize('number', CHOSEN)
def test_a_feature_is_drawn_as_on_the_whole_page(window, folder, url, number):
  whole = window.view(f'{(folder / "site/index.html").as_uri()}#A1/{number}')
  settled = """
    const gists = Array.from(document.querySelectorAll('.relatives .gist'));
    return !!document.querySelector('article.feature h2') &&
      gists.every((node) => node.childNodes.length > 0);
  """
  whole.until(settled)
  drawn = whole.js(ARTICLE)
  # Links to other views stand on the whole page alone.
  drawn = re.sub(r'\n(?:see it in|Also in|In other views).*', '', drawn)
  headings, record = whole.texts('h3'), whole.js(RECORD, 'A1', number)
  whole.console()
  page = window.view(f'{url}#A1/{number}')
  page.until(settled)
  assert page.texts('h3') == headings
  assert json.loads(page.js(RECORD, 'A1', number)) == json.loads(record)
  titles = '|'.join(('Map', 'Splitting', 'Universality', 'Automata'))
  strip = lambda text: [
    line
    for line in text.splitlines()
    if line.strip() and not re.search(titles, line)
  ]
  assert strip(page.js(ARTICLE)) == strip(drawn)
  quiet(page)


@browser.needed
@pytest.mark.parametrize('view', ['scorecard', 'labelling', 'help'])
def test_other_views_that_need_no_more_are_there(window, url, view):
  page = window.view(f'{url}#{view}')
  titles = ['Features', 'Scorecard', 'Labels', 'Help']
  shown = page.texts('#views a')
  assert [title for title in titles if title in shown] == shown
  assert page.texts('.view h2')[0] in titles
  assert 'checksums.txt' not in page.text()
  if view == 'scorecard':
    assert 'This file holds 5 features of A/1 alone.' in page.text()
  quiet(page)


@browser.needed
def test_hostile_tokens_and_labels_are_text(window, url):
  page = window.view(f'{url}#A1/0')
  page.find('.examples .token')
  shown = set(page.texts('.examples .token'))
  windows = made_up.table().example_tokens_FEW[0].ravel().tolist()
  plain = [x for x in HOSTILE if x.isprintable() and len(x) < 80]
  assert len(plain) >= 5
  assert set(plain) <= shown
  assert {VOCABULARY[i] for i in windows} >= set(HOSTILE)
  assert page.texts('.featurehead .label') == [LABEL['label']]
  tags = page.js(
    'return Array.from(document.querySelectorAll("*"), (n) => n.localName)'
  )
  assert not {'b', 'img', 'iframe'} & set(tags)
  quiet(page)


@browser.needed
def test_a_token_and_its_context_are_known(window, url):
  page = window.view(f'{url}#A1/{CUT}')
  page.click('.examples > li > button')
  page.find('.wide .token')
  context = int(made_up.table().example_context_FE[CUT, 0])
  ids = made_up.contexts().tokens_CT[context]
  assert len(page.texts('.wide .token')) == len(ids)
  page.hover('.examples > li .line .own')
  page.until(
    'return !Array.from(document.querySelectorAll("#tooltip dd"))'
    '.some((node) => node.textContent === "…")'
  )
  rows = dict(
    zip(page.texts('#tooltip dt'), page.texts('#tooltip dd'), strict=True)
  )
  assert rows['loss without the residual'].endswith(' nats')
  assert 'document' in rows['from']
  quiet(page)


def rows(page: browser.Page) -> list[int]:
  css = 'aside.list [role=option] > span:first-child'
  return [int(x) for x in page.texts(css)]


@browser.needed
@pytest.mark.parametrize(
  ('query', 'expected'),
  [
    ('', CHOSEN),
    ('?only=dead', [DEAD]),
    ('?only=low', [6]),
    ('?sort=density', [CUT, 9, 6, 0, DEAD]),
    ('?sort=random', None),
    ('?q=onerror&in=label', [0]),
  ],
)
def test_the_list_has_the_chosen_alone(window, url, query, expected):
  page = window.view(f'{url}#A1/0{query or "?sort=index"}')
  page.find('aside.list [role=option]')
  found = rows(page)
  assert found == expected if expected else sorted(found) == CHOSEN
  shown = f'{len(expected or CHOSEN)} of {FEATURES} features'
  assert page.texts('aside.list [role=status]') == [shown]
  quiet(page)


@browser.needed
def test_a_visit_begins_with_the_first_of_them_and_keys_walk_on(window, url):
  page = window.view(f'{url}')
  page.until('return location.hash.startsWith("#A1/")')
  page.open(f'{url}#A1/6?sort=index')
  page.until('return document.querySelector("h2")?.textContent === "A/1/6"')
  page.keys(']')
  page.until('return document.querySelector("h2").textContent === "A/1/9"')
  page.keys('[')
  page.until('return document.querySelector("h2").textContent === "A/1/6"')
  page.keys('[')
  page.until('return document.querySelector("h2").textContent === "A/1/3"')
  quiet(page)


@browser.needed
@pytest.mark.parametrize('place', ['A1/1', 'A2/0', 'B1/65'])
def test_what_is_not_inside_says_so(window, url, place):
  page = window.view(f'{url}#{place}')
  page.until('return !!document.querySelector("article .silent")')
  name = place.replace('1/', '/1/').replace('2/', '/2/')
  assert page.texts('article .silent') == [
    f'{name} is not in this file, which has 5 features of A/1.'
  ]
  assert page.texts('.strip option') == ['A/1']
  quiet(page)


@browser.needed
def test_a_link_to_what_is_not_inside_leads_to_a_sentence(window, url):
  page = window.view(f'{url}#A1/0')
  page.find('.relatives a')
  # What it leads to is told here, and known in short.
  page.until(
    'return Array.from(document.querySelectorAll(".relatives .gist"))'
    '.every((node) => node.querySelector(".token, .label"))'
  )
  found = page.js(
    'const out = Array.from(document.querySelectorAll(".relatives a"))'
    '.find((a) => !arguments[0].includes(a.getAttribute("href")));'
    'out.click(); return out.textContent',
    [f'#A1/{i}' for i in CHOSEN],
  )
  page.until('return !!document.querySelector("article .silent")')
  [said] = page.texts('article .silent')
  assert said.startswith(f'{found} is not in this file')
  page.js('history.back()')
  page.until('return document.querySelector("h2")?.textContent === "A/1/0"')
  quiet(page)


@browser.needed
def test_blind_labelling_draws_from_the_chosen_alone(window, url):
  page = window.view(f'{url}#labelling')
  page.js('localStorage.clear()')
  page.view(f'{url}#labelling')
  assert page.texts('.setup fieldset .field') == ['A/1']
  page.js("""
    Array.from(document.querySelectorAll('.setup button'))
      .find((node) => node.textContent === 'Start').click();
  """)
  page.until('return location.hash.startsWith("#labelling/blind/")')
  kept = page.js(
    'return Object.entries(localStorage)'
    '.filter(([name]) => name.includes(".blind."))[0][1]'
  )
  [session] = json.loads(kept).values()
  # The live ones.
  assert {number for _, number, _ in session['items']} == {0, 9, CUT}
  page.js('localStorage.clear()')
  quiet(page)


@browser.needed
@pytest.mark.parametrize('sandbox', ['', 'sandbox="allow-scripts"'])
def test_it_lives_in_the_frame_of_a_notebook(
  window, folder, tmp_path, text, sandbox
):
  """A frame's srcdoc has neither an address nor, here, an origin of its own."""
  ask = """
    <script>addEventListener('message', async ({ data }) => {
      const done = await (0, eval)(data);
      parent.postMessage(done ?? null, '*');
    });</script>
  """
  # The test's own door in; the policy must let it, and it alone, act.
  inside = re.search(r'<script>(.*?)</script>', ask, re.S)[1]
  digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
  text = text.replace(
    'script-src ', f"script-src 'unsafe-eval' 'sha256-{digest}' "
  ).replace('</body>', f'<script>{inside}</script></body>')
  (tmp_path / 'notebook.html').write_text(
    '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
    f'<h1>Notebook</h1>'
    f'<iframe {sandbox} width=1200 height=600 '
    f'srcdoc="{html.escape(text)}"></iframe>'
  )

  def frame(code: str):
    return page.js(
      """
      const frame = document.querySelector('iframe').contentWindow;
      return new Promise((done) => {
        addEventListener('message', ({ data }) => done(data), { once: true });
        frame.postMessage(arguments[0], '*');
      });
      """,
      code,
    )

  def until(code: str) -> None:
    end = time.monotonic() + 10
    while not frame(code):
      assert time.monotonic() < end, f'never true: {code}'

  with browser.served(tmp_path) as base:
    page = window
    page.open(f'{base}notebook.html')
    title = 'document.querySelector("article h2")?.textContent'
    until(f'!!{title}')
    first = frame(title)
    assert re.fullmatch(r'A/1/\d+', first)
    frame('document.querySelector(".relatives a, #help").click()')
    until(f'{title} !== {first!r}')
    frame('document.querySelector("#views a:nth-child(2)").click()')
    until('document.querySelector(".view > h2")?.textContent === "Scorecard"')
    frame('monosem.router.go("A1", 9)')
    until(f'{title} === "A/1/9"')
    assert page.texts('h1') == ['Notebook']
    assert page.hash == ''
    assert page.console() == []
