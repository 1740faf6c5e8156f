"""Exports: which features are chosen, and what is refused."""

import pathlib
import shutil

import numpy as np
import program
import pytest
import safetensors.numpy
from exported import F, arguments, exported_features, lines, run, strict, table

from monosem_jax.config import choices
from monosem_jax.config.errors import UserError
from monosem_jax.stages.export import flags, formats


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('export') / 'run'
  shutil.copytree(program.finished(), path)
  return path


@pytest.fixture
def published() -> dict[int, dict]:
  """The features of A/1 in Anthropic's form, by number."""
  return exported_features()


# --- what is chosen, and what is refused


def test_chosen_features_alone_are_written(workdir, tmp_path, published):
  to = tmp_path / 'some'
  to.mkdir()  # empty
  chosen = '--features=3, 17,20-22,3,21'
  run(workdir, to, '--format=anthropic', '--run=A/1', chosen)
  found = {int(p.stem): strict(p.read_bytes()) for p in to.rglob('*.json')}
  wanted = [i for i in (3, 17, 20, 21, 22) if i in published]
  assert found == {i: published[i] for i in wanted}
  assert len(wanted) >= 4
  assert [p.name for p in tmp_path.iterdir()] == ['some']


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('48', '0 to 47'),
    ('0-999999999999999', '0 to 47'),
    *((x, repr(x)) for x in ('5-3', 'x', '-1', '1-2-3', '²', '1.0')),
    *(('3,,4', "''"), (',', "''")),
  ],
)
def test_features_that_are_none_are_named(text, said):
  with pytest.raises(UserError, match='--features') as e:
    flags.features(text, F)
  assert said in str(e.value)


@pytest.mark.parametrize(
  ('more', 'said'),
  [
    ([], ['--format', 'anthropic', 'neuronpedia']),
    (['--format=neuropedia'], ['neuropedia', "'neuronpedia'"]),
    (['--format=anthropic', '--run=A/2'], ['A/2', 'A/1']),
    (['--format=anthropic', '--run=A1'], ["'A1'", 'A/1']),
    (['--format=anthropic', '--features=99'], ['99', '0 to 47']),
    (['--format=anthropic', '--to='], ['--to']),
    (
      [
        *('--format=anthropic', '--run=A/random'),
        "--config.analysis.controls=('neurons', 'random')",
      ],
      ['A/random', 'ablations', '--format=neuronpedia'],
    ),
  ],
)
def test_a_wrong_flag_is_refused_and_nothing_written(
  workdir, tmp_path, more, said
):
  message = program.refusal(*arguments(workdir, tmp_path / 'out', *more))
  for words in said:
    assert words in message
  assert not any(tmp_path.iterdir())


def test_flags_of_an_export_are_no_other_stages():
  message = program.refusal(
    'site', f'--config={program.config()}', '--workdir=x', '--format=anthropic'
  )
  assert '--format' in message and 'export' in message


def test_what_is_in_the_way_is_left_alone(workdir, tmp_path):
  to = tmp_path / 'out'
  call = lambda: program.refusal(*arguments(workdir, to, '--format=anthropic'))
  for name, said in (
    ('out', 'file'),
    ('out/mine.txt', 'not empty'),
    ('out.new/mine.txt', 'out.new'),
    ('out.old/mine.txt', 'out.old'),
  ):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('mine')
    assert said in call()
    assert path.read_text() == 'mine'
    path.unlink()
    if path.parent != tmp_path:
      path.parent.rmdir()
  assert not any(tmp_path.iterdir())


def test_features_that_never_fired_cannot_be_published(workdir, tmp_path):
  (silent,) = np.nonzero(table()['fired_F'] == 0)
  message = program.refusal(
    *arguments(workdir, tmp_path / 'out', '--format=anthropic'),
    f'--features={silent[0]}',
  )
  assert 'fired' in message
  assert not any(tmp_path.iterdir())


@pytest.fixture
def changed(workdir, tmp_path) -> pathlib.Path:
  """A work directory that a test may change."""
  return shutil.copytree(workdir, tmp_path / 'changed')


@pytest.mark.parametrize(
  'gone', ['', 'numbers.json', 'A1.npz', 'A1_residual.npz']
)
def test_published_form_needs_ablations_and_bulk_does_not(
  changed, tmp_path, gone
):
  path = changed / 'analysis/ablation' / gone
  shutil.rmtree(path) if path.is_dir() else path.unlink()
  to = tmp_path / 'out'
  message = program.refusal(*arguments(changed, to, '--format=anthropic'))
  assert 'monosem analysis --only=ablation' in message
  assert not to.exists()
  run(changed, to, '--format=neuronpedia')
  [path] = to.rglob('activations/*.gz')
  had = {bool(row['lossValues']) for row in lines(path)}
  assert had == {gone == 'A1_residual.npz'}


def test_bulk_goes_without_correlated_neurons(changed, tmp_path):
  shutil.rmtree(changed / 'analysis/neurons')
  run(changed, tmp_path / 'out', '--format=neuronpedia')
  [path] = (tmp_path / 'out').rglob('features/*.gz')
  for row in lines(path):
    assert row['correlated_neurons_indices'] == []
    assert row['correlated_neurons_l1'] == []


def test_results_of_another_dictionary_are_refused(changed, tmp_path):
  path = changed / program.SAE
  tensors = safetensors.numpy.load_file(path)
  tensors['b_enc'] = tensors['b_enc'] + 1
  safetensors.numpy.save_file(tensors, path)
  for form in choices.names(formats.__name__):
    message = program.refusal(
      *arguments(changed, tmp_path / 'out.html', f'--format={form}')
    )
    assert 'features/A1' in message and 'another dictionary' in message


def test_ablations_of_another_table_are_refused(changed, tmp_path):
  stamp = changed / 'features/A1/stamp.json'
  stamp.write_text(stamp.read_text() + '\n')
  message = program.refusal(
    *arguments(changed, tmp_path / 'out', '--format=anthropic')
  )
  assert 'analysis/ablation' in message and '--only=ablation' in message


def test_a_broken_analysis_is_named(changed, tmp_path):
  path = changed / 'analysis/ablation/A1.npz'
  path.write_bytes(path.read_bytes()[:1_000])
  message = program.refusal(
    *arguments(changed, tmp_path / 'out', '--format=anthropic')
  )
  assert 'ablation/A1.npz' in message and 'is damaged' in message


@pytest.mark.parametrize('form', ['anthropic', 'neuronpedia'])
def test_a_full_disk_is_one_line_and_leaves_nothing(
  workdir, tmp_path, monkeypatch, form
):
  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(pathlib.Path, 'write_bytes', full)
  code, err = program.call(
    *arguments(workdir, tmp_path / 'out', f'--format={form}')
  )
  *progress, message = err.splitlines()
  assert code == 2
  assert all(line.startswith('export/A1') for line in progress)
  assert f'error: disk full: {tmp_path / "out"}' in message
  assert not any(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(workdir, tmp_path):
  (tmp_path / 'file').write_text('mine')
  message = program.refusal(
    *arguments(workdir, tmp_path / 'file/out', '--format=neuronpedia')
  )
  assert 'file/out' in message
