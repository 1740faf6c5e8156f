"""The exported page holds what the tables say, whole, safe and the same."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import types

import numpy as np
import pytest

from monosem_jax.errors import UserError
from monosem_jax.features.table import FeatureTable, groups
from monosem_jax.files import write_json
from monosem_jax.site import encode, export
from monosem_jax.stages import site
from monosem_jax.text.tokenizer import Tokenizer
from monosem_jax.workdir import Workdir

STATIC = pathlib.Path(export.__file__).parent / 'static'
HOSTILE = [
  '</script><script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '\u202eright to left\u2066',
  'nul\x00',
  'line\u2028separator',
  'half\ud800',
  'long' * 2_500,
  '\n',
  '\t',
  ' space',
  '\\xd8',
  'عرب',
  '<b>&amp;"\'`${1}',
]
VOCABULARY = HOSTILE + [f' word{i}' for i in range(20)]
REPORT = {
  'models': {},
  'dictionaries': {'A/1': {'l0': 1.5, 'loss_recovered': 0.9, 'ultralow': None}},
}
FEATURES, DEAD, CUT = 66, 3, 65
WINDOW, BEFORE, TOKENS = 5, 2, 1_000


def fake_table(run: str = 'A/1') -> FeatureTable:
  """66 features, so two shards; number 3 is dead, 65 has a cut window."""
  rng = np.random.default_rng(0)
  names = groups(2, 1, 1)
  F, W, V = FEATURES, WINDOW, len(VOCABULARY)
  E = sum(group['count'] for group in names)
  dead_F = np.arange(F) == DEAD
  start_FE = np.zeros((F, E), np.uint8)
  stop_FE = np.full((F, E), W, np.uint8)
  stop_FE[DEAD] = 0
  start_FE[CUT, 0], stop_FE[CUT, 0] = 1, 4
  stop_FE[CUT, 1] = 0
  tokens_FEW = rng.integers(0, V, (F, E, W))
  # Every hostile token stands in a window of feature 0.
  tokens_FEW[0].flat[: len(HOSTILE)] = range(len(HOSTILE))
  logits_FL = np.sort(rng.random((F, 10)))[:, ::-1]
  return FeatureTable(
    fired_F=np.where(dead_F, 0, np.arange(F) + 1),
    max_F=np.where(dead_F, 0, 2.5).astype(np.float32),
    sampled_F=np.where(dead_F, 0, np.arange(F) + 1).astype(np.int32),
    sample_max_F=np.where(dead_F, 0, 2.0).astype(np.float32),
    histogram_FH=rng.integers(0, 9, (F, 40)).astype(np.int32),
    example_tokens_FEW=tokens_FEW.astype(np.uint16),
    example_acts_FEW=rng.random((F, E, W)).astype(np.float16).round(2),
    example_start_FE=start_FE,
    example_stop_FE=stop_FE,
    example_context_FE=rng.integers(0, 99, (F, E)).astype(np.int32),
    example_position_FE=rng.integers(0, 99, (F, E)).astype(np.uint16),
    logit_top_ids_FL=rng.integers(0, V, (F, 10)).astype(np.uint16),
    logit_top_FL=logits_FL.astype(np.float32),
    logit_bottom_ids_FL=rng.integers(0, V, (F, 10)).astype(np.uint16),
    logit_bottom_FL=-logits_FL.astype(np.float32),
    logit_histogram_FH=rng.integers(0, 9, (F, 40)).astype(np.int32),
    logit_range_F2=np.tile(np.float32([-1, 1]), (F, 1)),
    meta={
      'run': run,
      'model': 'A',
      'features': F,
      'tokens': TOKENS,
      'split': 'train',
      'manifest': '0' * 64,
      'before': BEFORE,
      'after': W - 1 - BEFORE,
      'groups': names,
      'overflowing_tokens': 0,
    },
  )


def write(directory: pathlib.Path, runs: tuple[str, ...] = ('A/1',)) -> None:
  tables = {run.replace('/', ''): fake_table(run) for run in runs}
  export.write(directory, tables=tables, vocabulary=VOCABULARY, report=REPORT)


def files(directory: pathlib.Path) -> dict[str, bytes]:
  return {
    str(path.relative_to(directory)): path.read_bytes()
    for path in sorted(directory.rglob('*'))
    if path.is_file()
  }


def arguments(path: pathlib.Path) -> list:
  """What a data script hands to its function."""
  text = path.read_text('ascii')
  call = re.fullmatch(r'monosem\.data\.[a-z]+\((.*)\);\n', text)
  assert call, f'{path} is more than one call'
  return json.loads(f'[{call[1]}]')


@pytest.fixture(scope='module')
def page(tmp_path_factory) -> pathlib.Path:
  directory = tmp_path_factory.mktemp('page') / 'site'
  write(directory)
  return directory


# --- what is written


def test_same_tables_give_the_same_bytes(page, tmp_path):
  write(tmp_path / 'again')
  assert files(page) == files(tmp_path / 'again')


def test_every_file_the_page_asks_for_is_there(page):
  html = (page / 'index.html').read_text('utf-8')
  asked = re.findall(r'(?:src|href)="([^"]+)"', html)
  assert [name for name in asked if not (page / name).is_file()] == []
  shipped = {f'static/{p.name}' for p in (page / 'static').iterdir()}
  assert shipped == {name for name in asked if name.startswith('static/')}


def test_vocabulary_survives(page):
  assert arguments(page / 'data/vocabulary.js') == [VOCABULARY]


def test_index_holds_the_columns_of_the_list(page):
  table = fake_table()
  [index] = arguments(page / 'data/index.js')
  found = index['dictionaries']['A1']
  assert found['fired'] == table.fired_F.tolist()
  assert found['fired'][DEAD] == 0
  assert found['max'] == table.max_F.tolist()
  top = table.logit_top_ids_FL[:, : encode.LIST_TOKENS].tolist()
  assert found['top'] == top
  assert found['numbers'] == REPORT['dictionaries']['A/1']
  assert found['meta']['tokens'] == TOKENS
  levels = [group.get('fraction') for group in found['groups']]
  assert levels == [None, *np.arange(1, -0.05, -0.1).round(1).tolist(), None]


def test_a_run_without_a_report_is_shown_without_numbers(tmp_path):
  write(tmp_path / 'site', ('A/2',))
  [index] = arguments(tmp_path / 'site/data/index.js')
  assert index['dictionaries']['A2']['numbers'] is None


def test_shards_hold_every_feature(page):
  table = fake_table()
  shards = sorted((page / 'data/A1').iterdir())
  features = []
  for k, path in enumerate(shards):
    key, number, part = arguments(path)
    assert (key, number) == ('A1', k)
    features += part
  assert [len(shards), len(features)] == [2, FEATURES]
  for i, found in enumerate(features):
    assert found['histogram'] == table.histogram_FH[i].tolist()
    assert found['logit_histogram'] == table.logit_histogram_FH[i].tolist()
    ids, weights = found['raised']
    assert ids == table.logit_top_ids_FL[i].tolist()
    np.testing.assert_allclose(weights, table.logit_top_FL[i], rtol=6e-3)
    ids, weights = found['lowered']
    assert ids == table.logit_bottom_ids_FL[i].tolist()
    np.testing.assert_allclose(weights, table.logit_bottom_FL[i], rtol=6e-3)


def test_only_the_valid_window_is_stored(page):
  table = fake_table()
  *_, features = arguments(page / 'data/A1/0001.js')
  cut, none, whole, *_ = features[CUT - 64]['examples']
  assert none is None
  for e, start, stop, found in ((0, 1, 4, cut), (2, 0, WINDOW, whole)):
    context, position, own, ids, acts = found
    assert context == table.example_context_FE[CUT, e]
    assert position == table.example_position_FE[CUT, e]
    assert own == BEFORE - start
    assert ids == table.example_tokens_FEW[CUT, e, start:stop].tolist()
    kept = table.example_acts_FEW[CUT, e, start:stop]
    np.testing.assert_allclose(acts, kept, rtol=6e-3)


def test_what_is_not_finite_becomes_null(tmp_path):
  table = fake_table()
  table.example_acts_FEW[0, 0, BEFORE] = np.inf
  export.write(
    tmp_path / 'site', tables={'A1': table}, vocabulary=VOCABULARY, report={}
  )
  *_, features = arguments(tmp_path / 'site/data/A1/0000.js')
  assert features[0]['examples'][0][-1][BEFORE] is None


# --- safety


def test_a_policy_forbids_all_but_the_pages_own_files(page):
  html = (page / 'index.html').read_text('utf-8')
  [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
  directives = dict(part.split(maxsplit=1) for part in policy.split('; '))
  assert directives['default-src'] == "'none'"
  assert directives['script-src'] == directives['style-src'] == "'self'"
  assert 'unsafe' not in policy
  # Before anything that it should govern.
  assert html.index('Content-Security-Policy') < html.index('<link')


@pytest.mark.parametrize(
  'way',
  [
    r'innerHTML',
    r'outerHTML',
    r'insertAdjacentHTML',
    r'createContextualFragment',
    r'DOMParser',
    r'document\.write',
    r'\beval\b',
    r'\bnew\s+Function\b',
    r'setAttribute\(\s*[\'"`]on',
    r'\sstyle=',
    r'\son[a-z]+="',
    r'<script(?![^>]*\ssrc=)',
    r'\bfetch\(',
    r'https?://(?!www\.w3\.org/2000/svg)',
  ],
)
def test_static_files_have_no_way_from_data_to_code(way):
  for path in STATIC.iterdir():
    assert not re.search(way, path.read_text('utf-8')), path.name


def test_export_imports_no_jax(tmp_path):
  code = (
    'import pathlib, sys\n'
    'from monosem_jax.site import export\n'
    'export.write(pathlib.Path(sys.argv[1]), tables={}, vocabulary=[],'
    ' report={})\n'
    "assert 'jax' not in sys.modules"
  )
  subprocess.run([sys.executable, '-c', code, tmp_path / 'site'], check=True)


# --- kills


_KILLED = """
import os, pathlib, signal, sys
from monosem_jax.site import encode
import test_site
done, feature = [], encode.feature
def kill_at_the_second_shard(table, i):
  if i == 64:
    os.kill(os.getpid(), signal.SIGKILL)
  return feature(table, i)
encode.feature = kill_at_the_second_shard
test_site.write(pathlib.Path(sys.argv[1]), ('A/1', 'A/2'))
"""


def test_a_killed_export_leaves_the_page_before_it(tmp_path):
  directory = tmp_path / 'site'
  write(directory)
  before = files(directory)
  killed = subprocess.run(
    [sys.executable, '-c', _KILLED, directory],
    env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
  )
  assert killed.returncode == -signal.SIGKILL
  assert files(directory) == before
  write(directory)
  assert files(directory) == before
  assert os.listdir(tmp_path) == ['site']


def test_a_failed_export_leaves_nothing_but_the_page(tmp_path, monkeypatch):
  directory = tmp_path / 'site'
  write(directory)
  before = files(directory)

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(pathlib.Path, 'write_bytes', full)
  with pytest.raises(UserError, match='disk full'):
    write(directory)
  assert files(directory) == before
  assert os.listdir(tmp_path) == ['site']


def test_a_kill_between_the_renames_loses_nothing(tmp_path, monkeypatch):
  directory = tmp_path / 'site'
  write(directory)
  before = files(directory)
  # What such a kill leaves; the next export fails in its turn.
  directory.rename(tmp_path / 'site.old')
  with monkeypatch.context() as m:
    m.setattr(encode, 'feature', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      write(directory)
  assert files(directory) == before


def test_what_another_export_left_is_gone(tmp_path):
  write(tmp_path / 'site', ('A/1', 'A/2'))
  write(tmp_path / 'site')
  assert not (tmp_path / 'site/data/A2').exists()


# --- the stage


def workdir(root: pathlib.Path, *dictionaries: str) -> tuple[Workdir, list]:
  lines: list[str] = []
  config = types.SimpleNamespace(dictionaries=dict.fromkeys(dictionaries))
  return Workdir(root, config, lines.append), lines


def test_the_stage_shows_the_dictionaries_that_have_tables(tmp_path):
  w, lines = workdir(tmp_path, 'A1', 'A2')
  w.features('A1').mkdir(parents=True)
  fake_table().save(w.features('A1'))
  w.store.mkdir(parents=True)
  Tokenizer.train(['some text'], 260).save(w.store / 'tokenizer.json')
  write_json(w.root / 'report.json', REPORT)
  site.run(w)
  [index] = arguments(w.site / 'data/index.js')
  assert list(index['dictionaries']) == ['A1']
  assert any('A2' in line for line in lines)
  assert lines[-1] == f'site: open {w.site / "index.html"}'


def test_the_stage_wants_a_table(tmp_path):
  w, _ = workdir(tmp_path, 'A1')
  with pytest.raises(UserError, match='run the features stage'):
    site.run(w)
  assert not w.site.exists()
