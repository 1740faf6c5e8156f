"""The exported page holds what the tables say, whole, safe and the same."""

import ast
import base64
import dataclasses
import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import zlib

import exhibits
import numpy as np
import program
import pytest
from exhibits import (
  BEFORE,
  CUT,
  DEAD,
  FEATURES,
  REPORT,
  TOKENS,
  VOCABULARY,
  WINDOW,
  T,
  write,
)

from monosem_jax.config import load as config, settings
from monosem_jax.config.errors import UserError
from monosem_jax.features import census
from monosem_jax.run.files import read_json
from monosem_jax.run.workdir import Workdir
from monosem_jax.site import effects, export, pack, provenance, shards
from monosem_jax.stages import site
from monosem_jax.text.store import TokenStore

STATIC = pathlib.Path(export.__file__).parent / 'static'


def files(directory: pathlib.Path) -> dict[str, bytes]:
  return {
    str(path.relative_to(directory)): path.read_bytes()
    for path in sorted(directory.rglob('*'))
    if path.is_file()
  }


def read(page: pathlib.Path, name: str):
  """Meta and columns of a pack, taken apart by hand."""
  script = (page / f'data/{name}.js').read_bytes()
  call = re.fullmatch(rb'monosem\.data\.arrived\("(.*?)","(.*)"\);\n', script)
  assert call[1].decode() == name
  # A string of JavaScript with these four escapes is one of Python, too.
  text = ast.literal_eval(
    f'"{call[2].decode("latin-1")}"'.replace('\0', r'\x00')
  )
  raw = gzip.decompress(text.encode('latin-1'))
  length = int.from_bytes(raw[:4], 'little')
  header = json.loads(raw[4 : 4 + length])
  assert header['build'] == '0123456789abcdef'
  columns = {}
  for column, (dtype, shape, at) in header['columns'].items():
    assert (4 + length + at) % 8 == 0
    size, width = int(np.prod(shape)), int(dtype[1])
    if dtype == 'u2':
      x = np.frombuffer(raw, '<u2', size, 4 + length + at)
    else:
      # Byte b of number i stands at b * size + i.
      data = raw[4 + length + at :][: size * width]
      whole = bytes(
        data[b * size + i] for i in range(size) for b in range(width)
      )
      x = np.frombuffer(whole, '<' + dtype)
    columns[column] = x.reshape(shape)
  return header['meta'], columns


def halves(x: np.ndarray) -> np.ndarray:
  assert x.dtype == np.float16
  return x.astype(np.float64)


@pytest.fixture(scope='module')
def page(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('page')
  write(folder / 'site', scratch=folder / 'analysis', keys=('A1', 'A2'))
  return folder / 'site'


# --- packs


def test_a_pack_gives_back_what_it_was_given():
  meta = {'text': 'half\ud800 \u2028 </script>', 'none': None}
  columns = {
    'bytes': np.arange(3, dtype=np.uint8),
    'table': np.arange(6, dtype=np.float32).reshape(2, 3),
    'empty': np.zeros((0, 4), np.int32),
    'big': np.arange(5, dtype='>u2'),
  }
  build, found, arrays = pack.unpack(pack.pack('b', meta, columns))
  assert (build, found) == ('b', meta)
  assert list(arrays) == list(columns)
  for name, x in columns.items():
    np.testing.assert_array_equal(arrays[name], x)


def test_a_script_is_one_call_with_the_same_bytes():
  """Of every byte, in every order of two."""
  data = bytes(x for i in range(256) for j in range(256) for x in (i, j))
  script = pack.script('A1/0000', data)
  call = re.fullmatch(rb'monosem\.data\.arrived\("A1/0000","(.*)"\);\n', script)
  # In one line, and no quote but behind a backslash.
  assert re.fullmatch(rb'([^\\"\r\n]|\\[\\"rn])*', call[1])
  assert pack.unscript('A1/0000', script) == data


@pytest.mark.parametrize('kept', [0, 30, -1])
def test_a_script_that_is_cut_off_is_found(kept):
  with pytest.raises(ValueError, match=r'A1/0000\.js is not whole'):
    pack.unscript('A1/0000', pack.script('A1/0000', b'some bytes')[:kept])


def test_a_page_that_holds_its_data_has_the_same_call_in_ascii():
  data = pack.pack('b', ['</script>'], {})
  text = pack.inline('a/"b', data)
  call = re.fullmatch(r'monosem\.data\.arrived\((.*),atob\((.*)\)\);\n', text)
  name, encoded = (json.loads(x) for x in call.groups())
  assert (name, base64.b64decode(encoded)) == ('a/"b', data)
  assert text.isascii() and '<' not in text


@pytest.mark.parametrize('kept', [0.1, 0.5, 0.99])
def test_gzip_finds_what_is_cut_off(kept):
  data = pack.pack('b', None, {'x': np.arange(999, dtype=np.uint16)})
  with pytest.raises((EOFError, zlib.error)):
    pack.unpack(data[: int(kept * len(data))])


def test_a_pack_takes_only_what_the_page_reads():
  with pytest.raises(ValueError, match='column x: int64'):
    pack.pack('b', None, {'x': np.arange(3)})
  with pytest.raises(ValueError, match='not JSON compliant'):
    pack.pack('b', float('nan'), {})


# --- what is written


def test_same_tables_give_the_same_bytes(page, tmp_path):
  write(tmp_path / 'again', scratch=tmp_path / 'analysis', keys=('A1', 'A2'))
  assert files(page) == files(tmp_path / 'again')


def test_every_file_the_page_asks_for_is_there(page):
  html = (page / 'index.html').read_text('utf-8')
  asked = re.findall(r'(?:src|href)="([^"#]+)"', html)
  assert [name for name in asked if not (page / name).is_file()] == []
  shipped = {
    p.relative_to(page).as_posix()
    for p in (page / 'static').rglob('*')
    if p.is_file()
  }
  assert shipped == {name for name in asked if name.startswith('static/')}


def test_checksums_are_those_of_all_files(page):
  lines = (page / 'checksums.txt').read_text().splitlines()
  found = dict(reversed(line.split('  ', 1)) for line in lines)
  expected = {
    name: hashlib.sha256(data).hexdigest()
    for name, data in files(page).items()
    if name != 'checksums.txt'
  }
  assert found == expected


def test_vocabulary_survives(page):
  assert read(page, 'vocabulary') == (VOCABULARY, {})


def test_the_index_says_what_there_is(page):
  index, _ = read(page, 'index')
  first, second = index['sets']
  assert [first['key'], second['key']] == ['A1', 'A2']
  assert [first['run'], second['run']] == ['A/1', 'A/2']
  assert first['numbers'] == REPORT['dictionaries']['A/1']
  assert second['numbers'] is None
  assert first['features'] == FEATURES
  assert first['meta']['tokens'] == TOKENS
  assert first['counts'] == {
    'dead': 1,
    'rare': 0,
    'low_mode': 9,
    'live': 56,
  }
  levels = [group.get('fraction') for group in first['groups']]
  assert levels == [None, *np.arange(1, -0.05, -0.1).round(1).tolist(), None]
  assert 'map/small' in index['views'] and 'A2/texts' in index['views']


def test_columns_are_those_of_the_list(page):
  _, found = read(page, 'A2/columns')
  table = exhibits.table('A/2', 1)
  np.testing.assert_array_equal(found['fired'], table.fired_F)
  np.testing.assert_array_equal(found['max'], table.max_F)
  assert found['state'][DEAD] == census.DEAD
  assert np.flatnonzero(found['state'] == census.LOW_MODE).tolist() == [
    *range(6, FEATURES, 7)
  ]
  np.testing.assert_array_equal(found['raises'], table.logit_top_ids_FL[:, :4])


def test_a_feature_fires_on_what_leads_its_top_examples():
  table = exhibits.table()
  top = np.array([[5, 9], [9, 9]])
  table.example_tokens_FEW[[10, 11], :2, BEFORE] = top
  # The second example of this one is not there.
  table.example_tokens_FEW[CUT, :2, BEFORE] = 7, 8
  found = shards.columns(exhibits.exhibit('A1', table))['fires']
  assert found[10].tolist() == [5, 9]
  assert found[11].tolist() == [9, 9]
  assert found[CUT].tolist() == [7, 7]


def test_the_most_frequent_token_comes_first():
  wide = exhibits.table(top=5)
  wide.example_tokens_FEW[0, :5, BEFORE] = [4, 8, 8, 6, 8]
  wide.example_tokens_FEW[1, :5, BEFORE] = [4, 6, 8, 6, 4]
  found = shards.columns(exhibits.exhibit('A1', wide))['fires']
  assert found[0].tolist() == [8, 4, 6]
  assert found[1].tolist() == [4, 6, 8]


def test_shards_hold_every_feature(page):
  table = exhibits.table()
  parts = [read(page, f'A1/{k:04d}')[1] for k in range(2)]
  assert not (page / 'data/A1/0002.js').exists()
  for name, expected in (
    ('histogram', table.histogram_FH),
    ('logit_histogram', table.logit_histogram_FH),
    ('sampled', table.sampled_F),
    ('sample_max', table.sample_max_F),
    ('logit_range', table.logit_range_F2),
    ('raised_ids', table.logit_top_ids_FL),
    ('lowered_ids', table.logit_bottom_ids_FL),
  ):
    found = np.concatenate([part[name] for part in parts])
    np.testing.assert_array_equal(found, expected)
  for name, expected in (
    ('raised', table.logit_top_FL),
    ('lowered', table.logit_bottom_FL),
  ):
    found = np.concatenate([halves(part[name]) for part in parts])
    np.testing.assert_allclose(found, expected, rtol=6e-4, atol=1e-7)


def test_examples_and_effects_stand_where_they_belong(page):
  """Every example of every feature, one by one, by a loop."""
  table, contexts = exhibits.table(), exhibits.contexts()
  ablated = exhibits.effects(table)
  E = table.example_stop_FE.shape[1]
  group_E = [
    g for g, x in enumerate(exhibits.GROUPS) for _ in range(x['count'])
  ]
  for k in range(2):
    _, part = read(page, f'A1/{k:04d}')
    found = effects_of(part)
    for n in range(len(part['sampled'])):
      i, e = 64 * k + n, int(part['example_of'][n])
      for j in range(E):
        start, stop = table.example_start_FE[i, j], table.example_stop_FE[i, j]
        if start == stop:
          continue
        begin, end = part['token_of'][e], part['token_of'][e + 1]
        tokens = table.example_tokens_FEW[i, j, start:stop].tolist()
        assert part['tokens'][begin:end].tolist() == tokens
        acts = table.example_acts_FEW[i, j, start:stop]
        assert halves(part['acts'][begin:end]).tolist() == acts.tolist()
        context = table.example_context_FE[i, j]
        position = table.example_position_FE[i, j]
        assert part['group'][e] == group_E[j]
        assert part['context'][e] == context
        assert part['position'][e] == position
        assert part['own'][e] == BEFORE - start
        spans = range(*contexts.span_of_C1[context : context + 2])
        own = max(s for s in spans if contexts.position_S[s] <= position)
        assert part['subset'][e] == contexts.subset_S[own]
        for w in range(start, stop):
          [m] = np.flatnonzero(
            ablated.at_M == (i * E + j) * WINDOW + w
          ).tolist() or [None]
          of_token = found.pop(int(begin + w - start), None)
          assert (m is not None) == (of_token is not None)
          if m is None:
            continue
          loss = float(ablated.loss_M[m])
          assert of_token['loss'] == loss
          for side in ('raised', 'lowered'):
            ids, values = zip(*of_token[side], strict=True)
            assert list(ids) == ablated.columns()[f'{side}_ids_Mk'][m].tolist()
            np.testing.assert_allclose(
              values, ablated.columns()[f'{side}_Mk'][m], 0.022
            )
        e += 1
      assert e == part['example_of'][n + 1]
    assert found == {}


def effects_of(part) -> dict[int, dict]:
  """Effects by the token of the shard that each is on, as effects.py says."""
  found, m = {}, 0
  for n in range(len(part['effect_of']) - 1):
    token = int(part['token_of'][part['example_of'][n]])
    while m < part['effect_of'][n + 1]:
      token += int(part['effect_gap'][m])
      found[token] = {'loss': float(part['effect_loss'][m])}
      for side, sign in (('raised', 1), ('lowered', -1)):
        column = lambda name, side=side: part[f'effect_{side}_{name}']
        value, pairs = sign * float(column('most')[n]), []
        down = 0
        for place, step in zip(
          column('place')[:, m], column('steps')[:, m], strict=True
        ):
          down += int(step)
          own = column('ids')[column('of')[n] + place]
          pairs.append((own, value * 2 ** (-down / 16) * (down < 255)))
        found[token][side] = pairs
      m += 1
  return found


def test_effects_come_back_as_they_were():
  """Three features, the second without any; changes of all sizes, and none."""
  rng = np.random.default_rng(0)
  M, k, V = 900, 5, 4_000
  token_M = np.sort(rng.choice(5_000, M, replace=False))
  first_n1 = np.array([0, 2_000, 2_000, 5_000])
  # Down to 2**-16 of the largest, where they become 0.
  size_Mk = np.sort(2.0 ** rng.uniform(-20, 2, (M, k)))[:, ::-1]
  size_Mk[::7, 3:] = 0
  ids = lambda: rng.integers(0, V, (M, k))
  given = {
    'loss_M': rng.normal(size=M),
    'raised_ids_Mk': ids(),
    'raised_Mk': size_Mk,
    'lowered_ids_Mk': ids(),
    'lowered_Mk': -size_Mk[::-1],
  }
  part = effects.columns(token_M, first_n1, given)
  part |= {'example_of': np.arange(4), 'token_of': first_n1}
  found = effects_of(part)
  assert list(found) == token_M.tolist()
  for m, own in enumerate(found.values()):
    assert own['loss'] == np.float16(given['loss_M'][m])
    for side in ('raised', 'lowered'):
      got, values = zip(*own[side], strict=True)
      assert list(got) == given[f'{side}_ids_Mk'][m].tolist()
      np.testing.assert_allclose(
        values, given[f'{side}_Mk'][m], rtol=0.022, atol=2**-13
      )
  # The most frequent token of a feature comes first.
  own = given['raised_ids_Mk'][token_M < 2_000]
  assert (own == part['effect_raised_ids'][0]).sum() == np.bincount(
    own.ravel()
  ).max()
  assert part['effect_raised_of'][1] == part['effect_raised_of'][2] > 255


def test_no_effects_are_none():
  given = {'loss_M': np.zeros(0)}
  for side in ('raised', 'lowered'):
    given |= {
      f'{side}_ids_Mk': np.zeros((0, 5)),
      f'{side}_Mk': np.zeros((0, 5)),
    }
  part = effects.columns(np.zeros(0, int), np.array([0, 9]), given)
  assert part['effect_of'].tolist() == [0, 0]
  assert part['effect_raised_place'].shape == (5, 0)


def test_alignment_is_that_of_the_decoder_row(page):
  rows_FA = exhibits.rows('A1')
  _, part = read(page, 'A1/0001')
  for n, row in enumerate(rows_FA[64:]):
    order = sorted(range(row.size), key=lambda a, r=row: -abs(r[a]))[:3]
    assert part['aligned_ids'][n].tolist() == order
    found = halves(part['aligned'][n])
    np.testing.assert_allclose(found, row[order], rtol=1e-3)
    share = np.abs(row[order]) / np.abs(row).sum()
    found = halves(part['aligned_share'][n])
    np.testing.assert_allclose(found, share, rtol=1e-3)


def test_contexts_hold_their_documents(page):
  c = exhibits.contexts()
  _, numbers = read(page, 'contexts/numbers')
  assert numbers['number'].tolist() == c.number_C.tolist()
  _, found = read(page, 'contexts/0000')
  np.testing.assert_array_equal(found['tokens'], c.tokens_CT)
  np.testing.assert_array_equal(found['span_of'], c.span_of_C1)
  for name in ('position', 'document', 'subset', 'offset'):
    expected = getattr(c, f'{name}_S')
    np.testing.assert_array_equal(found[f'span_{name}'], expected)
  _, extra = read(page, 'A1/residual/0000')
  assert extra['residual'].shape == (exhibits.CONTEXTS, T)


def test_what_is_not_finite_stays_so(tmp_path):
  table = exhibits.table()
  table.example_acts_FEW[0, 0, BEFORE] = np.inf
  found = shards.shard(exhibits.exhibit('A1', table), 0, 64)
  assert halves(found['acts'])[BEFORE] == np.inf


# --- warnings


def warned(change) -> list[str]:
  table = exhibits.table(top=5)
  table.meta['tokens'] = 20_000_000
  change(table)
  return provenance.warnings(exhibits.exhibit('A1', table))


def test_a_clean_table_warns_of_nothing():
  assert warned(lambda table: None) == []


def test_top_examples_at_position_0_are_warned_of():
  def change(table):
    # 3 of 5 examples of 8 features that are live.
    table.example_position_FE[[0, 1, 2, 4, 5, 7, 8, 9], :3] = 0

  [said] = warned(change)
  assert said.startswith('8 of 56 live features') and 'position 0' in said


def test_one_document_is_warned_of():
  def change(table):
    table.example_context_FE[[0, 1, 2, 4, 5, 7, 8, 9], :3] = 1

  [said] = warned(change)
  assert said.startswith('8 of 56 live features') and 'one document' in said


def test_too_few_tokens_are_warned_of():
  [said] = warned(lambda table: table.meta.update(tokens=1_000))
  assert 'cannot tell a density below 1e-06' in said


def test_what_the_pass_lost_is_warned_of():
  def change(table):
    table.meta.update(lost_samples=7)

  [lost] = warned(change)
  assert lost.startswith('7 sampled activations')


# --- safety


def test_a_policy_forbids_all_but_the_pages_own_files(page):
  html = (page / 'index.html').read_text('utf-8')
  [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
  directives = dict(part.split(maxsplit=1) for part in policy.split('; '))
  assert directives['default-src'] == "'none'"
  assert directives['script-src'] == directives['style-src'] == "'self'"
  assert directives['connect-src'] == "'self'"
  assert directives['img-src'] == "'self' blob:"
  assert 'unsafe' not in policy
  # Before anything that it should govern.
  assert html.index('Content-Security-Policy') < html.index('<link')


@pytest.mark.parametrize(
  'way',
  [
    r'innerHTML',
    r'outerHTML',
    r'insertAdjacentHTML',
    r'setHTML',
    r'createContextualFragment',
    r'DOMParser',
    r'[.\'"]srcdoc\b',
    r'javascript:',
    r'document\.write',
    r'\beval\(',
    r'\bnew\s+Function\b',
    r'set(?:Timeout|Interval)\(\s*[\'"`]',
    r'setAttribute\(\s*[\'"`]on',
    r'\.on(?:click|error|load)\b\s*=\s*[\'"`]',
    r'\sstyle=',
    r'\son[a-z]+="',
    r'<script(?![^>]*\ssrc=)',
    r'https?://(?!www\.w3\.org/2000/svg)',
  ],
)
def test_static_files_have_no_way_from_data_to_code(way):
  for path in filter(pathlib.Path.is_file, STATIC.rglob('*')):
    assert not re.search(way, path.read_text('utf-8')), path.name


def test_only_two_scripts_speak_to_a_server():
  found = [
    p.name
    for p in STATIC.rglob('*.*')
    if re.search(
      r'\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon',
      p.read_text(),
    )
  ]
  assert set(found) <= {'data.js', 'live.js', 'server.js'}


def test_export_imports_no_jax(tmp_path):
  code = (
    'import pathlib, sys\n'
    'import exhibits\n'
    'exhibits.write(pathlib.Path(sys.argv[1]))\n'
    "assert 'jax' not in sys.modules"
  )
  subprocess.run(
    [sys.executable, '-c', code, tmp_path / 'site'],
    check=True,
    env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
  )


# --- kills


_KILLED = """
import os, pathlib, signal, sys
from monosem_jax.site import shards
import exhibits
shard = shards.shard
def kill_at_the_second_shard(e, lo, hi):
  if lo == 64:
    os.kill(os.getpid(), signal.SIGKILL)
  return shard(e, lo, hi)
shards.shard = kill_at_the_second_shard
exhibits.write(pathlib.Path(sys.argv[1]), ('A1', 'A2'))
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
    m.setattr(shards, 'shard', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      write(directory)
  assert files(directory) == before


def test_what_another_export_left_is_gone(tmp_path):
  write(tmp_path / 'site', ('A1', 'A2'))
  write(tmp_path / 'site')
  assert not (tmp_path / 'site/data/A2').exists()


# --- the stage


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> Workdir:
  """A finished run, to be shown anew."""
  root = tmp_path_factory.mktemp('finished') / 'run'
  shutil.copytree(program.finished(), root)
  return Workdir(root, config.load(str(program.config())), lambda line: None)


def test_the_stage_shows_what_the_run_has_left(workdir):
  """Against the files of the stages before, read here."""
  build = json.loads((workdir.root / 'config.json').read_text())
  assert build['dictionaries']['A1']['features'] == 48
  site.run(workdir)
  index = exhibits.packed(workdir.site, 'index')[1]
  assert [found['key'] for found in index['sets']] == ['A1', 'A_neurons']
  own = index['sets'][0]
  assert own['effects'] and own['residual']
  assert index['report'] == read_json(workdir.root / 'report.json')
  manifest = read_json(workdir.store / 'manifest.json')
  assert index['provenance']['store']['sha256'] == manifest['sha256']
  digest = hashlib.sha256((workdir.root / program.SAE).read_bytes())
  assert index['provenance']['weights'][program.SAE] == digest.hexdigest()
  assert {'A1/texts', 'automata', 'texts'} <= set(index['views'])


def test_every_token_of_an_example_stands_where_its_context_says(workdir):
  """Windows against contexts, and documents against the store's own word."""
  site.run(workdir)
  load = lambda name: exhibits.packed(workdir.site, name)[2]
  part, whole = load('A1/0000'), load('contexts/0000')
  number = load('contexts/numbers')['number'].tolist()
  store = TokenStore.open(workdir.store)
  index = exhibits.packed(workdir.site, 'index')[1]
  for e in range(len(part['context'])):
    c = number.index(part['context'][e])
    begin, end = part['token_of'][e], part['token_of'][e + 1]
    first = int(part['position'][e]) - int(part['own'][e])
    tokens = whole['tokens'][c][first : first + end - begin].tolist()
    assert part['tokens'][begin:end].tolist() == tokens
    stream = store.stream_index('train', np.array([part['context'][e]]))[0]
    place = store.locate('train', stream, int(part['position'][e]))
    assert index['subsets'][part['subset'][e]] == place.subset
    spans = slice(*whole['span_of'][c : c + 2])
    at = (
      np.searchsorted(
        whole['span_position'][spans], part['position'][e], 'right'
      )
      - 1
    )
    assert whole['span_document'][spans][at] == place.document
    offset = whole['span_offset'][spans][at] + part['position'][e]
    offset = int(offset) - int(whole['span_position'][spans][at])
    assert offset == place.offset


def test_no_file_says_where_it_was_made(workdir):
  """Not the text's folder, nor the run's own."""
  site.run(workdir)
  places = [str(program.text()), str(workdir.root), str(program.config())]
  for name, data in files(workdir.site).items():
    of_data = re.fullmatch(r'data/(?!live)(.*)\.js', name)
    raw = data
    if of_data:
      raw = gzip.decompress(pack.unscript(of_data[1], data))
    for place in places:
      assert place.encode() not in raw, name


def of_another(made: pathlib.Path) -> None:
  """Has what was made from A/1 be of another dictionary than is there."""
  stamp = made / 'stamp.json'
  found = json.loads(stamp.read_text())
  found['inputs']['dictionaries/A1'] = 'another'
  stamp.write_text(json.dumps(found))


def test_a_table_of_another_dictionary_is_refused(workdir, tmp_path):
  """Its rows would stand beside the examples of others."""
  shutil.copytree(workdir.root, tmp_path / 'run')
  of_another(tmp_path / 'run/features/A1')
  before = files(tmp_path / 'run')
  with pytest.raises(UserError, match='features/A1 is of another dictionary'):
    site.run(Workdir(tmp_path / 'run', workdir.config, lambda line: None))
  assert files(tmp_path / 'run') == before


def test_an_analysis_of_another_dictionary_is_left_out(workdir, tmp_path):
  shutil.copytree(workdir.root, tmp_path / 'run')
  of_another(tmp_path / 'run/analysis/ablation')
  lines: list[str] = []
  site.run(Workdir(tmp_path / 'run', workdir.config, lines.append))
  own = exhibits.packed(tmp_path / 'run/site', 'index')[1]['sets'][0]
  assert not own['effects'] and not own['residual']
  [said] = [line for line in lines if 'ablation' in line]
  assert 'before what is there now' in said


def test_fewer_contexts_are_written_where_they_are_bounded(workdir):
  c = dataclasses.replace(
    workdir.config, site=settings.Site(context_tokens=10 * 16)
  )
  site.run(dataclasses.replace(workdir, config=c))
  _, _, found = exhibits.packed(workdir.site, 'contexts/numbers')
  assert 0 < found['number'].size <= 10


def test_the_stage_shows_the_dictionaries_that_have_tables(workdir, tmp_path):
  shutil.copytree(workdir.root, tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run/features/A_neurons')
  shutil.rmtree(tmp_path / 'run/analysis')
  lines: list[str] = []
  site.run(Workdir(tmp_path / 'run', workdir.config, lines.append))
  _, index, _ = exhibits.packed(tmp_path / 'run/site', 'index')
  assert [found['key'] for found in index['sets']] == ['A1']
  assert index['views'] == [] and not index['sets'][0]['effects']
  page = tmp_path / 'run/site/index.html'
  assert lines[-1] == f'site: open {page}'


def test_the_stage_wants_a_table(workdir, tmp_path):
  w = Workdir(tmp_path, workdir.config, lambda line: None)
  with pytest.raises(UserError, match='run the features stage'):
    site.run(w)
  assert not w.site.exists()
