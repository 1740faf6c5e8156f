"""README's "To add": a thing is the files it says, and nothing else changes.

A copy of the package gets a small one of each, and the program runs from there.
"""

import json
import pathlib
import re
import shutil
import subprocess

import browser
import numpy as np
import program
import pytest
import safetensors.numpy

PACKAGE = program.ROOT / 'monosem_jax'
SETTINGS = 'config/settings/training.py'

# Plain gradient descent on the paper's loss with its errors scaled.
RECIPE = """
import jax
import optax

from monosem_jax.config.check.rules import positive
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.dictionary.recipes import Recipe


def gradient(c, sae, scale, l1, rows, index_MGn, dot):
  x_MNA = jax.vmap(rows.take)(index_MGn) * scale
  x_NA = x_MNA.reshape(-1, x_MNA.shape[-1])

  def loss(sae):
    mse_N, l1_norm_N, f_NF = sae_lib.row_losses(sae, x_NA, dot)
    numbers = {'mse': mse_N.mean(), 'l1_norm': l1_norm_N.mean()}
    total = c.weight * numbers['mse'] + l1 * numbers['l1_norm']
    return total, (numbers, (f_NF > 0).sum(0, dtype='int32'))

  (total, (numbers, fired_F)), grads = jax.value_and_grad(
    loss, has_aux=True
  )(sae)
  return grads, numbers | {'loss': total}, fired_F


RECIPE = Recipe(
  check=lambda where, c, stream: positive(where, c, 'weight'),
  init=lambda c, width: sae_lib.init(
    jax.random.key(c.seed), width, c.features
  ),
  gradient=gradient,
  optimizer=lambda c, lr: optax.sgd(lr),
)
"""
SOURCE = """
from monosem_jax.text.document import Document
from monosem_jax.text.sources import Source


def read(text, skips):
  for i in range(200):
    words = ' '.join(str(i * j) for j in range(60))
    yield Document(words, 'counted', f'number {i}')


SOURCE = Source(read, lambda text, documents: {'counted': documents})
"""
LEAF = '''
import numpy as np


def largest(max_F):
  """The largest activation of any feature."""
  return float(np.max(max_F))
'''
ANALYSIS = """
import dataclasses

import numpy as np

from monosem_jax.analysis import added as leaf
from monosem_jax.analysis.results.numbers import Numbers
from monosem_jax.run.files import write_arrays
from monosem_jax.stages.analysis.declaration import Analysis


@dataclasses.dataclass(frozen=True)
class Largest(Numbers):
  largest: float


def make(bench, out):
  max_F = bench.main.table.max_F
  write_arrays(out / 'max.npz', {'max_F': np.asarray(max_F)})
  return Largest(leaf.largest(max_F))


ANALYSIS = Analysis(
  order=15,
  make=make,
  numbers=Largest,
  title='The largest of all',
  question='How large is the largest activation?',
  answer=lambda numbers, main: [f'It is {numbers.largest:.3f} in {main}.'],
  picture='none.png',
)
"""
PACKS = """
import dataclasses

from monosem_jax.analysis.results.numbers import Numbers, to_json


@dataclasses.dataclass(frozen=True)
class Shown(Numbers):
  largest: float


def packs(folder, keys):
  numbers = Shown.load_if_made(folder('added'))
  return {} if numbers is None else {'added': (to_json(numbers), {})}
"""
SCRIPT = """'use strict';

monosem.views.added = {
  title: 'Added',
  order: 15,
  there: () => monosem.data.run.views.includes('added'),
  async show(parts, query, place) {
    const { meta } = await monosem.data.load('added');
    place.append(
      monosem.dom.element('p', '', `largest: ${meta.largest.toFixed(3)}`),
    );
  },
};
"""
FORMAT = """
from monosem_jax.run.files import write_file
from monosem_jax.stages import featuresets
from monosem_jax.stages.export import flags
from monosem_jax.stages.export.formats import Format


def write(w, path, name, features):
  density_F = featuresets.load(w, name).table.density_F
  chosen = flags.features(features, len(density_F))
  lines = [f'{i},{density_F[i]:.6f}' for i in chosen]
  write_file(path, '\\n'.join(lines).encode())


FORMAT = Format(write, suffix='.csv')
"""


def settings() -> str:
  """The settings of what is trained, with one more of a dictionary."""
  text, before = (PACKAGE / SETTINGS).read_text(), '  decoder_norm: float = '
  assert text.count(before) == 1
  return text.replace(
    before, f'  # Of `added`.\n  weight: float = 1.0\n{before}'
  )


ADDED = {
  'recipe': {'dictionary/recipes/added.py': RECIPE, SETTINGS: settings()},
  'text source': {'text/sources/added.py': SOURCE},
  'analysis': {'analysis/added.py': LEAF, 'stages/analysis/added.py': ANALYSIS},
  'view': {
    'site/views/added.py': PACKS,
    'site/static/views/added.js': SCRIPT,
  },
  'export format': {'stages/export/formats/added.py': FORMAT},
}


@pytest.fixture(scope='module')
def package(tmp_path_factory) -> pathlib.Path:
  """A folder with the package, and one thing more of each kind."""
  root = tmp_path_factory.mktemp('package')
  shutil.copytree(
    PACKAGE,
    root / 'monosem_jax',
    ignore=shutil.ignore_patterns('__pycache__'),
  )
  for files in ADDED.values():
    for name, text in files.items():
      (root / 'monosem_jax' / name).write_text(text)
  return root


def run(package: pathlib.Path, stage: str, workdir, *more: str, code=0) -> str:
  """Runs a stage of the copy; what it said."""
  done = subprocess.run(
    program.command(stage, workdir, *more),
    env=program.environment() | {'PYTHONPATH': str(package)},
    cwd=package,
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert done.returncode == code, done.stdout + done.stderr
  return done.stdout + done.stderr


def copied(workdir: pathlib.Path, *folders: str) -> pathlib.Path:
  for folder in folders:
    shutil.copytree(program.finished() / folder, workdir / folder)
  return workdir


@pytest.fixture(scope='module')
def analysed(package, tmp_path_factory) -> pathlib.Path:
  """A finished run with the analysis that was added, and its page."""
  workdir = tmp_path_factory.mktemp('analysed') / 'run'
  shutil.copytree(program.finished(), workdir)
  run(package, 'analysis', workdir, '--only=added')
  run(package, 'site', workdir)
  return workdir


def test_a_readers_table_names_these_files():
  text = (program.ROOT / 'README.md').read_text()
  section = re.search(r'\n## To add\n(.*?)\n## ', text, re.S)[1]
  rows = dict(re.findall(r'^\| (.*?) \| (.*?) \|$', section, re.M))
  for thing, files in ADDED.items():
    said = re.findall(r'`([\w./]+)`', rows[thing])
    assert said == [name.replace('added', 'NAME') for name in files], thing


def test_a_recipe_trains(package, tmp_path):
  workdir = copied(tmp_path / 'run', 'tokens', 'models')
  flags = ['--config.sae.recipe=added', '--config.sae.weight=2']
  said = run(package, 'sae', workdir, *flags, code=2)
  assert "the recipe 'added' does not resample" in said
  flags.append('--config.sae.resampling.steps=()')
  said = run(package, 'sae', workdir, *flags, '--config.sae.weight=0', code=2)
  assert 'dictionaries.A1.weight' in said
  run(package, 'sae', workdir, *flags)
  assert program.report(workdir)['dictionaries']['A/1']['recipe'] == 'added'
  for record in program.records(workdir, 'sae/A'):
    total = 2 * record['A1/mse'] + 0.05 * record['A1/l1_norm']
    assert record['A1/loss'] == pytest.approx(total, rel=1e-4)
  tensors = safetensors.numpy.load_file(workdir / program.SAE)
  assert all(np.isfinite(x).all() for x in tensors.values())
  # No step of it puts decoder rows back to norm 1.
  norm_F = np.linalg.norm(tensors['W_dec'], axis=1)
  assert np.abs(norm_F - 1).max() > 1e-4


def test_a_text_source_is_tokenised(package, tmp_path):
  workdir = tmp_path / 'run'
  said = run(package, 'tokens', workdir, '--config.text.source=aded', code=2)
  assert "did you mean 'added'" in said
  assert not workdir.exists()
  run(package, 'tokens', workdir, '--config.text.source=added')
  manifest = json.loads((workdir / 'tokens/store/manifest.json').read_text())
  assert manifest['source'] == {'counted': 200}
  assert manifest['subset_names'] == ['counted']


def test_an_analysis_is_made_and_told(package, analysed):
  found = json.loads((analysed / 'analysis/added/numbers.json').read_text())
  with np.load(analysed / 'analysis/added/max.npz') as arrays:
    assert found == {'largest': pytest.approx(float(arrays['max_F'].max()))}
  report = (analysed / 'report.md').read_text()
  told = f'It is {found["largest"]:.3f} in A/1.'
  # In its place among the others.
  places = [
    report.index(words)
    for words in ('### What dictionaries', '### The largest', told)
  ]
  first = report.index('### Which features live')
  assert first < places[1] < places[2] < places[0]
  said = run(package, 'analysis', analysed, '--only=aded', code=2)
  assert "'added'" in said


def test_a_view_is_a_part_of_the_page(analysed):
  html = (analysed / 'site/index.html').read_text()
  assert '<script defer src="static/views/added.js"></script>' in html
  assert (analysed / 'site/static/views/added.js').read_text() == SCRIPT


@browser.needed
def test_a_view_is_drawn(analysed):
  found = json.loads((analysed / 'analysis/added/numbers.json').read_text())
  with browser.window() as page:
    page.view((analysed / 'site/index.html').as_uri() + '#added')
    assert f'largest: {found["largest"]:.3f}' in page.text()
    assert page.texts('#views a')[:3] == ['Features', 'Added', 'Texts']
    assert page.console() == []


def test_a_format_is_written(package, tmp_path):
  to = tmp_path / 'out.csv'
  flags = ('--format=added', f'--to={to}', '--features=3,5-6')
  run(package, 'export', program.finished(), *flags)
  rows = [line.split(',') for line in to.read_text().splitlines()]
  assert [int(i) for i, _ in rows] == [3, 5, 6]
  said = run(package, 'export', program.finished(), '--format=x', code=2)
  assert all(name in said for name in ('added', 'anthropic', 'html'))
