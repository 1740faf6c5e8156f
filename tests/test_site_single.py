"""The page in one file: what it holds, and that it needs nothing else."""

import base64
import dataclasses
import hashlib
import html
import html.parser
import os
import pathlib
import re
import shutil
import subprocess
import sys

import browser
import made_up
import numpy as np
import program
import pytest
import runs
from made_up import FEATURES
from single_file import CHOSEN, KEYS, exported, packs, quiet, write

from monosem_jax import stages
from monosem_jax.config import names
from monosem_jax.config.errors import UserError
from monosem_jax.features.table import FeatureTable
from monosem_jax.run import Run, files
from monosem_jax.site import export, scripts
from monosem_jax.stages import export as export_stage
from monosem_jax.stages.export.formats import html as html_format

STATIC = pathlib.Path(export.__file__).parent / 'static'


@pytest.fixture
def folder() -> pathlib.Path:
  return exported()


@pytest.fixture
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
  fired_F = made_up.table().fired_F
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


# --- the stage


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> Run:
  root = tmp_path_factory.mktemp('finished') / 'run'
  shutil.copytree(program.finished(), root)
  return runs.at(root)


def arguments(run: Run, *more: str) -> list[str]:
  place = [f'--config={program.config()}', f'--workdir={run.workdir.root}']
  return ['export', *place, '--format=html', *more]


def test_the_stage_writes_what_was_asked_for(run, tmp_path, window):
  to = tmp_path / 'new/some.html'
  chosen = [3, 17, 20, 21, 22]
  before = program.files(run.workdir.root)
  code, err = program.call(
    *arguments(run, f'--to={to}', '--features=17,3,20-22')
  )
  assert code == 0, err
  assert os.listdir(to.parent) == ['some.html']
  assert program.files(run.workdir.root) == before
  found = packs(to.read_text())
  build, index, _ = found['index']
  assert index['main'] == 'A1'
  assert [s['chosen'] for s in index['sets']] == [chosen, []]
  assert {of for of, _, _ in found.values()} == {build}
  table = FeatureTable.load(run.workdir.features('A1'))
  there_FE = table.example_stop_FE[chosen] > 0
  wanted = np.unique(table.example_context_FE[chosen][there_FE])
  numbers = found['contexts/numbers'][2]['number']
  assert numbers.tolist() == wanted.tolist()
  part = found['A1/0000'][2]
  assert part['sampled'].tolist() == table.sampled_F[chosen].tolist()
  assert len(part['context']) == there_FE.sum()
  ablated = np.load(run.workdir.analysis('ablation') / 'A1.npz')['at_M']
  size = table.example_tokens_FEW[0].size
  assert len(part['effect_loss']) == np.isin(ablated // size, chosen).sum()
  if browser.CHROMIUM:
    page = window.view(f'{to.as_uri()}#A1/17')
    assert page.texts('article h2') == ['A/1/17']
    quiet(page)


def test_dead_features_alone_make_a_file(run, tmp_path):
  """They have examples of the tokens that they are silent on."""
  table = FeatureTable.load(run.workdir.features('A1'))
  dead = int(np.flatnonzero(table.fired_F == 0)[0])
  to = tmp_path / 'dead.html'
  code, err = program.call(*arguments(run, f'--to={to}', f'--features={dead}'))
  assert code == 0, err
  found = packs(to.read_text())
  silent = np.unique(table.example_context_FE[dead, -20:])
  assert found['contexts/numbers'][2]['number'].tolist() == silent.tolist()
  groups = [group['name'] for group in found['index'][1]['sets'][0]['groups']]
  assert {groups[g] for g in found['A1/0000'][2]['group']} == {
    'Bottom Activations'
  }


def test_neurons_can_be_chosen(run, tmp_path):
  to = tmp_path / 'neurons.html'
  code, err = program.call(
    *arguments(run, f'--to={to}', '--run=A/neurons', '--features=4')
  )
  assert code == 0, err
  index = packs(to.read_text())['index'][1]
  assert index['main'] == 'A_neurons'
  assert [s['chosen'] for s in index['sets']] == [[], [4]]


def test_more_than_200_features_are_refused(run, tmp_path, monkeypatch):
  class Read(Exception):
    pass

  def read(run, folder, sets, chosen):
    raise Read(chosen)

  own = html_format.featuresets.load(run, names.parse('A1'))
  table = dataclasses.replace(own.table, fired_F=np.ones(4096))
  many = dataclasses.replace(own, table=table)
  monkeypatch.setattr(
    html_format.featuresets, 'load_all', lambda run: {'A1': many}
  )
  monkeypatch.setattr(html_format.exhibits, 'read', read)
  flags = {'format': 'html', 'run': 'A/1', 'to': str(tmp_path / 'x.html')}
  ask = lambda features: export_stage.execute(run, features=features, **flags)
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
    (('--to={0}/there.html',), 'there.html exists; name another'),
    (('--to={0}/x.html', '--run=A/9'), "unknown run 'A/9'"),
    (('--to={0}/x.html', '--features=48'), 'there are 48 features'),
    (('--to={0}/there.html/x.html', '--features=1'), 'x.html: '),
  ],
)
def test_what_cannot_be_written_is_refused(run, tmp_path, flags, said):
  (tmp_path / 'there.html').write_text('mine')
  flags = [flag.format(tmp_path) for flag in flags]
  assert said in program.refusal(*arguments(run, *flags))
  assert os.listdir(tmp_path) == ['there.html']
  assert (tmp_path / 'there.html').read_text() == 'mine'


def test_a_full_disk_leaves_no_half_of_a_file(run, tmp_path, monkeypatch):
  def full(_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(files.os, 'fsync', full)
  with pytest.raises(UserError, match='disk full'):
    stages.execute(
      'export',
      run,
      {
        'format': 'html',
        'run': '',
        'to': str(tmp_path / 'x.html'),
        'features': '3',
      },
    )
  assert os.listdir(tmp_path) == []
