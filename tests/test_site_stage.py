"""The stage exports what a run has left."""

import dataclasses
import gzip
import hashlib
import json
import pathlib
import re
import shutil

import exhibits
import numpy as np
import program
import pytest
import runs

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.run import Run
from monosem_jax.run.files import read_json
from monosem_jax.site import pack
from monosem_jax.stages import site
from monosem_jax.text.store import TokenStore

# --- the stage


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> Run:
  """A finished run, to be shown anew."""
  root = tmp_path_factory.mktemp('finished') / 'run'
  shutil.copytree(program.finished(), root)
  return runs.at(root)


def test_the_stage_shows_what_the_run_has_left(run):
  """Against the files of the stages before, read here."""
  build = json.loads((run.workdir.root / 'config.json').read_text())
  assert build['dictionaries']['A1']['features'] == 48
  site.execute(run)
  index = exhibits.packed(run.workdir.site, 'index')[1]
  assert [found['key'] for found in index['sets']] == ['A1', 'A_neurons']
  own = index['sets'][0]
  assert own['effects'] and own['residual']
  assert index['report'] == read_json(run.workdir.root / 'report.json')
  manifest = read_json(run.workdir.store / 'manifest.json')
  assert index['provenance']['store']['sha256'] == manifest['sha256']
  digest = hashlib.sha256((run.workdir.root / program.SAE).read_bytes())
  assert index['provenance']['weights'][program.SAE] == digest.hexdigest()
  assert {'A1/texts', 'automata', 'texts'} <= set(index['views'])


def test_every_token_of_an_example_stands_where_its_context_says(run):
  """Windows against contexts, and documents against the store's own word."""
  site.execute(run)
  load = lambda name: exhibits.packed(run.workdir.site, name)[2]
  part, whole = load('A1/0000'), load('contexts/0000')
  number = load('contexts/numbers')['number'].tolist()
  store = TokenStore.open(run.workdir.store)
  index = exhibits.packed(run.workdir.site, 'index')[1]
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


def test_no_file_says_where_it_was_made(run):
  """Not the text's folder, nor the run's own."""
  site.execute(run)
  places = [str(program.text()), str(run.workdir.root), str(program.config())]
  for name, data in program.files(run.workdir.site).items():
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


def test_a_table_of_another_dictionary_is_refused(run, tmp_path):
  """Its rows would stand beside the examples of others."""
  shutil.copytree(run.workdir.root, tmp_path / 'run')
  of_another(tmp_path / 'run/features/A1')
  before = program.files(tmp_path / 'run')
  with pytest.raises(UserError, match='features/A1 is of another dictionary'):
    site.execute(runs.at(tmp_path / 'run'))
  assert program.files(tmp_path / 'run') == before


def test_an_analysis_of_another_dictionary_is_left_out(run, tmp_path):
  shutil.copytree(run.workdir.root, tmp_path / 'run')
  of_another(tmp_path / 'run/analysis/ablation')
  lines: list[str] = []
  site.execute(runs.at(tmp_path / 'run', log=lines.append))
  own = exhibits.packed(tmp_path / 'run/site', 'index')[1]['sets'][0]
  assert not own['effects'] and not own['residual']
  [said] = [line for line in lines if 'ablation' in line]
  assert 'is older than its inputs' in said


def test_fewer_contexts_are_written_where_they_are_bounded(run):
  c = dataclasses.replace(
    run.config, site=settings.Site(context_tokens=10 * 16)
  )
  site.execute(dataclasses.replace(run, config=c))
  _, _, found = exhibits.packed(run.workdir.site, 'contexts/numbers')
  assert 0 < found['number'].size <= 10


def test_the_stage_shows_the_dictionaries_that_have_tables(run, tmp_path):
  shutil.copytree(run.workdir.root, tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run/features/A_neurons')
  shutil.rmtree(tmp_path / 'run/analysis')
  lines: list[str] = []
  site.execute(runs.at(tmp_path / 'run', log=lines.append))
  _, index, _ = exhibits.packed(tmp_path / 'run/site', 'index')
  assert [found['key'] for found in index['sets']] == ['A1']
  assert index['views'] == [] and not index['sets'][0]['effects']
  page = tmp_path / 'run/site/index.html'
  assert lines[-1] == f'site: open {page}'


def test_the_stage_wants_a_table(tmp_path):
  run = runs.at(tmp_path)
  with pytest.raises(UserError, match='run the features stage'):
    site.execute(run)
  assert not run.workdir.site.exists()
