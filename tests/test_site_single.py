"""The page in one file: what it holds, and that it needs nothing else."""

import base64
import dataclasses
import hashlib
import html
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from unittest import mock

import browser
import exhibits
import numpy as np
import program
import pytest
from exhibits import CUT, DEAD, FEATURES, HOSTILE, VOCABULARY

from monosem_jax import stages
from monosem_jax.config import load as config, names
from monosem_jax.config.errors import UserError
from monosem_jax.features.table import FeatureTable
from monosem_jax.run import files
from monosem_jax.run.workdir import Workdir
from monosem_jax.site import export, pack, scripts, single
from monosem_jax.stages import export as export_stage
from monosem_jax.stages.export.formats import html as html_format

KEYS = ('A1', 'A2', 'B1')
# Two shards of the ordinary page; one is dead; 6 is of the low mode.
CHOSEN = [0, DEAD, 6, 9, CUT]
STATIC = pathlib.Path(export.__file__).parent / 'static'
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


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> pathlib.Path:
  """The file, alone in `file`, and beside it the page it is a part of."""
  folder = tmp_path_factory.mktemp('single')
  (folder / 'made').mkdir()
  write(folder / 'made/features.html')
  (folder / 'file').mkdir()
  (folder / 'made/features.html').rename(folder / 'file/moved.html')
  exhibits.write(
    folder / 'site',
    KEYS,
    folder / 'analysis',
    labels={0: [LABEL], 11: [LABEL]},
  )
  return folder


@pytest.fixture(scope='module')
def text(folder) -> str:
  return (folder / 'file/moved.html').read_text()


class Parts(html.parser.HTMLParser):
  """The scripts, styles and addresses of a page."""

  def __init__(self, text: str):
    super().__init__()
    self.found = {'script': [], 'style': []}
    self.addresses: list[str] = []
    self.policies: list[str] = []
    self.tags: list[str] = []
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    attributes = dict(attrs)
    if tag in self.found:
      assert attributes == {}
      self.found[tag].append('')
    self.addresses += [
      value for name, value in attrs if name in ('src', 'href', 'srcset')
    ]
    if attributes.get('http-equiv') == 'Content-Security-Policy':
      self.policies.append(attributes['content'])

  def handle_data(self, data):
    if self.lasttag in self.found and self.cdata_elem == self.lasttag:
      self.found[self.lasttag][-1] += data


def packs(text: str) -> dict[str, tuple]:
  """The packs that a file has inside: build, meta and columns by name."""
  calls = re.findall(r'data\.arrived\("([^"]+)",atob\("([^"]*)"\)\);\n', text)
  return {name: pack.unpack(base64.b64decode(data)) for name, data in calls}


# --- the file


def test_all_scripts_of_the_page_stand_inside_in_their_order(text):
  parts = Parts(text)
  names = re.findall('<script defer src="(.*?)"', scripts.page())
  assert len(parts.found['script']) == len(names) > 40
  for name, script in zip(names, parts.found['script'], strict=True):
    if name == 'data/live.js':
      assert script.startswith('monosem.live = null;\n')
    else:
      assert script == (STATIC / name.removeprefix('static/')).read_text()
  [style] = parts.found['style']
  assert style == (STATIC / 'page.css').read_text()
  # Behind all that they draw into, where deferred ones would run.
  assert text.index('id="tooltip"') < text.index('<script')
  others = {a for a in parts.addresses if not a.startswith(('#', 'data:'))}
  assert others == set()


def test_nothing_but_what_is_inside_may_act(text):
  """Hashes of the policy, computed here anew."""
  parts = Parts(text)
  [policy] = parts.policies
  rules = {
    name: values
    for name, *values in (rule.split() for rule in policy.split(';'))
  }
  assert rules.pop('default-src') == ["'none'"]
  digest = lambda x: base64.b64encode(hashlib.sha256(x.encode()).digest())
  for name in ('script', 'style'):
    wanted = [f"'sha256-{digest(x).decode()}'" for x in parts.found[name]]
    assert rules.pop(f'{name}-src') == wanted
  assert rules.pop('img-src') == ['data:', 'blob:']
  assert rules == {'base-uri': ["'none'"], 'form-action': ["'none'"]}
  assert 'unsafe' not in policy


def test_only_chosen_features_and_what_they_lead_to_are_inside(text):
  found = packs(text)
  index = found['index'][1]
  assert index['main'] == 'A1'
  assert [s['chosen'] for s in index['sets']] == [CHOSEN, [], []]
  assert index['views'] == index['pictures'] == []
  assert not [n for n in found if re.fullmatch(r'(A2|B1)/\d+|A1/0001', n)]
  part = found['A1/0000'][2]
  assert len(part['sampled']) == len(CHOSEN)
  # Links, as the hand of `shards` says them.
  linked = {
    (int(s), int(i))
    for s, i in zip(part['link_set'], part['link_feature'], strict=True)
  }
  fired_F = exhibits.table().fired_F
  for n, key in enumerate(KEYS):
    known = {i for s, i in linked if s == n} | set(CHOSEN if n == 0 else ())
    _, meta, columns = found[f'{key}/columns']
    expected = np.where(np.isin(np.arange(FEATURES), list(known)), fired_F, 0)
    assert columns['fired'].tolist() == expected.tolist()
    labelled = {'0', '11'} & {str(i) for i in known}
    assert set(meta['labels']) == labelled


def test_a_file_of_another_set_begins_there(tmp_path):
  write(tmp_path / 'b.html', 'B1', [2, 5])
  index = packs((tmp_path / 'b.html').read_text())['index'][1]
  assert index['main'] == 'B1'
  assert [s['chosen'] for s in index['sets']] == [[], [], [2, 5]]


def test_the_same_features_make_the_same_file(tmp_path, text):
  write(tmp_path / 'again.html')
  assert (tmp_path / 'again.html').read_text() == text
  assert os.listdir(tmp_path) == ['again.html']


@pytest.mark.parametrize('end', ['<!--', '</SCRIPT', '</style', '<script'])
@pytest.mark.parametrize('name', ['core/dom.js', 'page.css'])
def test_what_would_end_a_script_is_refused(tmp_path, monkeypatch, name, end):
  shutil.copytree(STATIC, tmp_path / 'static')
  with (tmp_path / 'static' / name).open('a') as file:
    file.write(f'/* {end} */')
  monkeypatch.setattr(scripts.resources, 'files', lambda _: tmp_path)
  with pytest.raises(ValueError, match=re.escape(end)):
    write(tmp_path / 'x.html')
  assert not (tmp_path / 'x.html').exists()


def test_no_jax_is_needed():
  code = 'import sys, monosem_jax.site.single\nassert "jax" not in sys.modules'
  subprocess.run(
    [sys.executable, '-c', code],
    check=True,
    env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
  )


# --- in a browser


@pytest.fixture(scope='module')
def window():
  with browser.window() as page:
    yield page


@pytest.fixture(params=['file', 'http'])
def url(request, folder) -> str:
  if request.param == 'file':
    yield (folder / 'file/moved.html').as_uri()
  else:
    with browser.served(folder / 'file') as base:
      yield f'{base}moved.html'


def opened(page: browser.Page, url: str) -> browser.Page:
  page.open(url)
  page.until('return !!document.querySelector("#main .view > *")')
  return page


def quiet(page: browser.Page) -> None:
  """Nothing was complained of, and nothing asked for."""
  assert page.console() == []
  assert page.dialog() is None
  asked = 'return performance.getEntriesByType("resource").map((x) => x.name)'
  assert [
    x for x in page.js(asked) if not x.startswith(('data:', 'blob:'))
  ] == []


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
  whole = opened(window, f'{(folder / "site/index.html").as_uri()}#A1/{number}')
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
  page = opened(window, f'{url}#A1/{number}')
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
  page = opened(window, f'{url}#{view}')
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
  page = opened(window, f'{url}#A1/0')
  page.find('.examples .token')
  shown = set(page.texts('.examples .token'))
  windows = exhibits.table().example_tokens_FEW[0].ravel().tolist()
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
  page = opened(window, f'{url}#A1/{CUT}')
  page.click('.examples > li > button')
  page.find('.wide .token')
  context = int(exhibits.table().example_context_FE[CUT, 0])
  ids = exhibits.contexts().tokens_CT[context]
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
  page = opened(window, f'{url}#A1/0{query or "?sort=index"}')
  page.find('aside.list [role=option]')
  found = rows(page)
  assert found == expected if expected else sorted(found) == CHOSEN
  shown = f'{len(expected or CHOSEN)} of {FEATURES} features'
  assert page.texts('aside.list [role=status]') == [shown]
  quiet(page)


@browser.needed
def test_a_visit_begins_with_the_first_of_them_and_keys_walk_on(window, url):
  page = opened(window, f'{url}')
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
  page = opened(window, f'{url}#{place}')
  page.until('return !!document.querySelector("article .silent")')
  name = place.replace('1/', '/1/').replace('2/', '/2/')
  assert page.texts('article .silent') == [
    f'{name} is not in this file, which has 5 features of A/1.'
  ]
  assert page.texts('.strip option') == ['A/1']
  quiet(page)


@browser.needed
def test_a_link_to_what_is_not_inside_leads_to_a_sentence(window, url):
  page = opened(window, f'{url}#A1/0')
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
  page = opened(window, f'{url}#labelling')
  page.js('localStorage.clear()')
  opened(page, f'{url}#labelling')
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


# --- the stage


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> Workdir:
  root = tmp_path_factory.mktemp('finished') / 'run'
  shutil.copytree(program.finished(), root)
  return Workdir(root, config.load(str(program.config())), lambda line: None)


def arguments(workdir: Workdir, *more: str) -> list[str]:
  place = [f'--config={program.config()}', f'--workdir={workdir.root}']
  return ['export', *place, '--format=html', *more]


def test_the_stage_writes_what_was_asked_for(workdir, tmp_path, window):
  to = tmp_path / 'new/some.html'
  chosen = [3, 17, 20, 21, 22]
  before = program.files(workdir.root)
  code, err = program.call(
    *arguments(workdir, f'--to={to}', '--features=17,3,20-22')
  )
  assert code == 0, err
  assert os.listdir(to.parent) == ['some.html']
  assert program.files(workdir.root) == before
  found = packs(to.read_text())
  build, index, _ = found['index']
  assert index['main'] == 'A1'
  assert [s['chosen'] for s in index['sets']] == [chosen, []]
  assert {of for of, _, _ in found.values()} == {build}
  table = FeatureTable.load(workdir.features('A1'))
  there_FE = table.example_stop_FE[chosen] > 0
  wanted = np.unique(table.example_context_FE[chosen][there_FE])
  numbers = found['contexts/numbers'][2]['number']
  assert numbers.tolist() == wanted.tolist()
  part = found['A1/0000'][2]
  assert part['sampled'].tolist() == table.sampled_F[chosen].tolist()
  assert len(part['context']) == there_FE.sum()
  ablated = np.load(workdir.analysis('ablation') / 'A1.npz')['at_M']
  size = table.example_tokens_FEW[0].size
  assert len(part['effect_loss']) == np.isin(ablated // size, chosen).sum()
  if browser.CHROMIUM:
    page = opened(window, f'{to.as_uri()}#A1/17')
    assert page.texts('article h2') == ['A/1/17']
    quiet(page)


def test_dead_features_alone_make_a_file(workdir, tmp_path):
  """They have examples of the tokens that they are silent on."""
  table = FeatureTable.load(workdir.features('A1'))
  dead = int(np.flatnonzero(table.fired_F == 0)[0])
  to = tmp_path / 'dead.html'
  code, err = program.call(
    *arguments(workdir, f'--to={to}', f'--features={dead}')
  )
  assert code == 0, err
  found = packs(to.read_text())
  silent = np.unique(table.example_context_FE[dead, -20:])
  assert found['contexts/numbers'][2]['number'].tolist() == silent.tolist()
  groups = [group['name'] for group in found['index'][1]['sets'][0]['groups']]
  assert {groups[g] for g in found['A1/0000'][2]['group']} == {
    'Bottom Activations'
  }


def test_neurons_can_be_chosen(workdir, tmp_path):
  to = tmp_path / 'neurons.html'
  code, err = program.call(
    *arguments(workdir, f'--to={to}', '--run=A/neurons', '--features=4')
  )
  assert code == 0, err
  index = packs(to.read_text())['index'][1]
  assert index['main'] == 'A_neurons'
  assert [s['chosen'] for s in index['sets']] == [[], [4]]


def test_more_than_200_features_are_refused(workdir, tmp_path, monkeypatch):
  class Read(Exception):
    pass

  def read(w, folder, sets, chosen):
    raise Read(chosen)

  own = html_format.featuresets.load(workdir, names.parse('A1'))
  table = dataclasses.replace(own.table, fired_F=np.ones(4096))
  many = dataclasses.replace(own, table=table)
  monkeypatch.setattr(
    html_format.featuresets, 'load_all', lambda w: {'A1': many}
  )
  monkeypatch.setattr(html_format.exhibits, 'read', read)
  ask = lambda features: export_stage.run(
    workdir,
    format='html',
    run='A/1',
    to=str(tmp_path / 'x.html'),
    features=features,
  )
  with pytest.raises(UserError, match=r'201 features of A/1; .*200 at most'):
    ask('0-199,4095')
  with pytest.raises(UserError, match='4,096 features of A/1'):
    ask('')
  with pytest.raises(Read):
    ask('0-198,4095')


@pytest.mark.parametrize(
  ('flags', 'said'),
  [
    ((), '--to=FILE.html is needed'),
    (('--to={0}/x.htm',), '--to=FILE.html is needed'),
    (('--to={0}/there.html',), 'there.html is there; name another'),
    (('--to={0}/x.html', '--run=A/9'), "unknown run 'A/9'"),
    (('--to={0}/x.html', '--features=48'), 'there are 48 features'),
    (('--to={0}/there.html/x.html', '--features=1'), 'x.html: '),
  ],
)
def test_what_cannot_be_written_is_refused(workdir, tmp_path, flags, said):
  (tmp_path / 'there.html').write_text('mine')
  flags = [flag.format(tmp_path) for flag in flags]
  assert said in program.refusal(*arguments(workdir, *flags))
  assert os.listdir(tmp_path) == ['there.html']
  assert (tmp_path / 'there.html').read_text() == 'mine'


def test_a_full_disk_leaves_no_half_of_a_file(workdir, tmp_path, monkeypatch):
  def full(_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(files.os, 'fsync', full)
  with pytest.raises(UserError, match='disk full'):
    stages.run(
      'export',
      workdir,
      {
        'format': 'html',
        'run': '',
        'to': str(tmp_path / 'x.html'),
        'features': '3',
      },
    )
  assert os.listdir(tmp_path) == []
