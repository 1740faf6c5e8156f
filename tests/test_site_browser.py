"""The page in a browser: tokens arrive as text, from disk and from a server."""

import functools
import html.parser
import http.server
import pathlib
import shutil
import subprocess
import tempfile
import threading

import pytest
from test_site import DEAD, FEATURES, HOSTILE, VOCABULARY, fake_table, write

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
pytestmark = pytest.mark.skipif(
  CHROMIUM is None, reason=f'no browser: none of {", ".join(_NAMES)} in PATH'
)

# As the page spells out what would not be seen.
SHOWN = {
  '\u202eright to left\u2066': '\\u{202e}right to left\\u{2066}',
  'nul\x00': 'nul\\x00',
  'line\u2028separator': 'line\\u{2028}separator',
  'half\ud800': 'half\\u{d800}',
  'long' * 2_500: 'long' * 20 + '…',
  '\n': '↵',
  '\t': '⇥',
}


class Dom(html.parser.HTMLParser):
  """Elements of a dumped page.

  Attributes:
    tags: every element's name.
    texts: text by the innermost id or class around it, in order.
    roles: every role there is.
    inline: text inside <script> and <style>.
  """

  def __init__(self, source: str):
    super().__init__()
    self.tags: list[str] = []
    self.roles: list[str | None] = []
    self.texts: dict[str, list[str]] = {}
    self.inline: list[str] = []
    self._open: list[tuple[str, str]] = []
    self.feed(source)
    self.close()

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    named = dict(attrs)
    self.roles.append(named.get('role'))
    if tag not in ('meta', 'link', 'img'):
      name = named.get('id') or named.get('class') or tag
      self._open.append((tag, name))
    assert not any(name.startswith('on') for name in named)

  def handle_endtag(self, tag):
    while self._open and self._open.pop()[0] != tag:
      pass

  def handle_data(self, data):
    if not self._open or not data.strip():
      return
    tag, name = self._open[-1]
    if tag in ('script', 'style'):
      self.inline.append(data)
    self.texts.setdefault(name, []).append(data)

  def tokens(self) -> list[str]:
    """Tokens of the examples."""
    return [
      text
      for name in ('token', 'token own')
      for text in self.texts.get(name, [])
    ]


def browse(url: str) -> Dom:
  """Opens a page; its console must stay empty."""
  with tempfile.TemporaryDirectory() as profile:
    done = subprocess.run(
      [
        CHROMIUM,
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        f'--user-data-dir={profile}',
        '--enable-logging=stderr',
        '--virtual-time-budget=3000',
        '--dump-dom',
        url,
      ],
      capture_output=True,
      timeout=60,
    )
  complaints = [x for x in done.stderr.splitlines() if b'CONSOLE' in x]
  assert complaints == []
  return Dom(done.stdout.decode('utf-8'))


@pytest.fixture(scope='module')
def page(tmp_path_factory) -> pathlib.Path:
  directory = tmp_path_factory.mktemp('browser') / 'site'
  write(directory, ('A/1', 'A/2'))
  return directory


@pytest.fixture(scope='module')
def served(page):
  class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

  handler = functools.partial(Quiet, directory=page)
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()


@pytest.fixture(params=['file', 'http'])
def url(request, page) -> str:
  if request.param == 'file':
    return (page / 'index.html').as_uri()
  return request.getfixturevalue('served') + '/index.html'


def test_hostile_tokens_are_text(url):
  dom = browse(f'{url}#A1/0')
  table = fake_table()
  windows = table.example_tokens_FEW[0].ravel().tolist()
  expected = [VOCABULARY[id] for id in windows]
  shown = set(dom.tokens())
  assert {SHOWN.get(token, token) for token in expected} <= shown
  assert {SHOWN.get(token, token) for token in HOSTILE} <= shown
  assert not {'img', 'b', 'iframe', 'object'} & set(dom.tags)
  assert dom.inline == []


def test_a_features_panels_are_drawn(url):
  dom = browse(f'{url}#A2/65')
  assert dom.texts['run'] == ['A/2']
  assert dom.texts['h2'] == ['A/2/65']
  assert dom.texts['title'][0] == 'A/2/65'
  headings = dom.texts['h3']
  assert headings[:5] == [
    'Activations',
    'Logit weights',
    'Positive logits',
    'Negative logits',
    'Top Activations',
  ]
  assert headings[5:] == [
    *(f'Subsample Interval {k}' for k in range(11)),
    'Bottom Activations',
  ]
  assert dom.tags.count('rect') == 80
  # The second of the two top examples is not there.
  assert len(dom.texts['activation']) == 13


def test_a_dead_feature_says_so(page):
  dom = browse(f'{(page / "index.html").as_uri()}#A1/{DEAD}')
  [said] = dom.texts['silent']
  assert 'never fired in the 1,000 tokens' in said
  assert 'activation' not in dom.texts


def test_an_unknown_feature_is_named(page):
  dom = browse(f'{(page / "index.html").as_uri()}#A1/{FEATURES}')
  assert dom.texts['silent'] == [f'There is no feature at #A1/{FEATURES}.']


# Opens the second row by the keyboard, as first shown and re-sorted twice.
_PROBE = """
'use strict';
const list = document.getElementById('list');
const density = document.querySelector('[data-key=density]');

function press(...keys) {
  for (const key of keys) {
    list.dispatchEvent(new KeyboardEvent('keydown', { key }));
  }
}

function openSecond() {
  press(...Array(99).fill('ArrowUp'));
  press('ArrowDown', 'ArrowDown', 'ArrowUp', 'Enter');
  const output = document.createElement('output');
  output.textContent = location.hash;
  document.body.append(output);
}

openSecond();
density.click();
openSecond();
density.click();
openSecond();
"""


def test_the_keyboard_opens_features_in_the_chosen_order(page, tmp_path):
  shutil.copytree(page, tmp_path / 'site')
  index = tmp_path / 'site/index.html'
  source = index.read_text('utf-8')
  probe = '<script defer src="probe.js"></script></head>'
  index.write_text(source.replace('</head>', probe), 'utf-8')
  (tmp_path / 'site/probe.js').write_text(_PROBE, 'utf-8')
  dom = browse(f'{index.as_uri()}#A1/9')
  # Strongest first (all are equal); densest first; and least dense first, where
  # the dead one leads.
  assert dom.texts['output'] == ['#A1/1', f'#A1/{FEATURES - 2}', '#A1/0']
  assert dom.texts['h2'] == ['A/1/0']


def test_the_list_draws_only_what_is_in_view(page):
  dom = browse(f'{(page / "index.html").as_uri()}#A1/0')
  assert 10 < dom.roles.count('option') < FEATURES / 2
