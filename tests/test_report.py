"""A whole run on a small text: its files, its numbers, and doing it again."""

import json
import math
import pathlib
import time

import jax.numpy as jnp
import numpy as np
import program
import pytest
import runs
import safetensors.numpy


@pytest.fixture(scope='module')
def workdir() -> pathlib.Path:
  return program.finished()


@pytest.fixture(scope='module')
def report(workdir):
  return program.report(workdir)


def test_the_work_directory_holds_what_the_readme_says(workdir):
  for name in (
    'config.json',
    'metrics.jsonl',
    'report.json',
    'report.md',
    'tokens/store/manifest.json',
    program.LM,
    program.SAE,
    'dictionaries/A1/cfg.json',
    'site/index.html',
  ):
    assert (workdir / name).stat().st_size, name
  assert list(workdir.glob('models/A/checkpoints/*'))
  assert list(workdir.glob('tensorboard/*/*tfevents*'))
  assert list(workdir.glob('features/A1/*.safetensors'))
  assert not list(workdir.rglob('*.tmp'))
  assert not list(workdir.rglob('*.partial'))


def test_the_kept_config_is_the_resolved_one(workdir):
  from monosem_jax.config import load as configs

  kept = json.loads((workdir / 'config.json').read_text())
  assert kept == configs.as_dict(configs.load(str(program.config())))


def test_the_report_has_every_number_and_no_nan(report):
  number, whole = (int, float), int
  wanted_of_model = dict(
    val_loss=number, tokens=whole, tokens_per_second=number
  )
  wanted_of_run = dict(
    features=whole,
    l1=number,
    l0=number,
    l1_norm=number,
    mse=number,
    explained_variance=number,
    loss_recovered=number,
    loss_clean=number,
    loss_zero_ablated=number,
    loss_reconstructed=number,
    silent=whole,
    activations_seen=whole,
    unique_activations=whole,
    sample_tokens=whole,
    activations_per_second=number,
    resampled=list,
  )
  assert list(report['models']) == ['A']
  assert list(report['dictionaries']) == ['A/1']
  for found, wanted in (
    (report['models']['A'], wanted_of_model),
    (report['dictionaries']['A/1'], wanted_of_run),
  ):
    for key, kind in wanted.items():
      assert isinstance(found[key], kind), key
      assert not isinstance(found[key], bool), key
      if isinstance(found[key], float):
        assert math.isfinite(found[key]), key


def test_the_numbers_of_the_report_agree_with_each_other(workdir, report):
  model, run = report['models']['A'], report['dictionaries']['A/1']
  assert model['tokens'] == 12 * 8 * 16
  # A uniform guess is log 300 = 5.70; little was learnt, but not nothing.
  assert 3 < model['val_loss'] < math.log(300)
  assert model['perplexity'] == pytest.approx(math.exp(model['val_loss']))
  assert run['features'] == 48
  found = report['features']['A/1']
  assert found['ultralow'] is None and found['ultralow_reason']
  classes = ('dead', 'rare', 'low_mode', 'live')
  assert sum(found[name] for name in classes) == 48
  assert found['tokens'] == 64 * 16
  assert run['l1'] == pytest.approx(0.05)
  assert run['activations_seen'] == 48 * 32
  assert run['unique_activations'] == 48 * 32
  assert run['sample_tokens'] == 16 * 16
  assert run['epochs'] == pytest.approx(192 / 1_312)
  assert 0 < run['l0'] < 48
  assert run['mse'] > 0
  assert run['explained_variance'] <= 1
  # The same held-out contexts, so the same loss.
  assert run['loss_clean'] == pytest.approx(model['val_loss'], rel=1e-4)
  assert run['loss_recovered'] == pytest.approx(
    (run['loss_zero_ablated'] - run['loss_reconstructed'])
    / (run['loss_zero_ablated'] - run['loss_clean'])
  )
  # Of both resamplings asked for, at least one found dead features here.
  assert run['resampled']
  assert {step for step, _ in run['resampled']} <= {10, 24}
  assert all(0 < count <= 48 for _, count in run['resampled'])


def test_the_report_for_a_person_says_the_same(workdir, report):
  text = (workdir / 'report.md').read_text()
  run = report['dictionaries']['A/1']
  assert 'A/1' in text
  assert f'{run["explained_variance"]:.1%}' in text
  assert f'{report["models"]["A"]["val_loss"]:.3f}' in text
  for step, count in run['resampled']:
    assert f'{count} features resampled at step {step}' in text


def test_metrics_have_every_chunk_once_with_finite_numbers(workdir):
  lm = program.records(workdir, 'lm/A')
  assert [r['step'] for r in lm] == list(range(1, 13))
  assert all(math.isfinite(r['loss']) for r in lm)
  sae = program.records(workdir, 'sae/A')
  assert [r['step'] for r in sae] == list(range(4, 52, 4))
  # Every feature is in one bin of each density histogram.
  assert {sum(r['A1/density']) for r in sae} == {48}


def test_the_log_says_what_was_made(report):
  log = program.log_of_finished()
  for words in ('12,064 parameters', 'A/1', 'index.html'):
    assert words in log


def test_the_models_weights_have_their_names_and_shapes(workdir):
  tensors = safetensors.numpy.load_file(workdir / program.LM)
  shapes = {name: x.shape for name, x in tensors.items()}
  assert sum(x.size for x in tensors.values()) == 12_064
  assert shapes['W_E_VD'] == (300, 16)
  assert shapes['W_pos_TD'] == (16, 16)
  assert shapes['W_U_DV'] == (16, 300)
  assert shapes['blocks.0.mlp.W_in_DA'] == (16, 32)
  assert shapes['blocks.0.mlp.W_out_AD'] == (32, 16)
  assert {x.dtype for x in tensors.values()} == {np.dtype('float32')}


def test_a_second_all_skips_everything_and_changes_no_result(tmp_path):
  import shutil

  workdir = tmp_path / 'run'
  shutil.copytree(program.finished(), workdir)
  before = program.files(workdir)
  started = time.monotonic()
  out = program.run('all', workdir).stdout
  assert time.monotonic() - started < 15
  for what in ('tokens', 'lm/A', 'sae/A1', 'features/A1'):
    assert f'{what}: complete' in out
  assert program.files(workdir) == before


def test_stage_by_stage_equals_all(tmp_path):
  for stage in ('tokens', 'lm', 'sae', 'features', 'analysis', 'site'):
    program.run(stage, tmp_path)
  found, wanted = program.files(tmp_path), program.files(program.finished())
  assert {n for n in wanted if 'check' not in n and 'tensorb' not in n} == {
    n for n in found if 'check' not in n and 'tensorb' not in n
  }
  for name in wanted:
    if name.endswith(('.safetensors', '.array_record', 'manifest.json')):
      assert found[name] == wanted[name], name
  timeless = lambda report: {
    name: {k: v for k, v in x.items() if 'per_second' not in k}
    for part in ('models', 'dictionaries')
    for name, x in report[part].items()
  }
  one, other = program.report(tmp_path), program.report(program.finished())
  assert timeless(one) == timeless(other)
  assert one['analysis'] == other['analysis']


def test_the_dictionary_explains_as_the_report_says(workdir, report):
  """Numbers of the report, from the weights and the text alone, in NumPy."""
  from monosem_jax.stages.lm import training as lm_stage
  from monosem_jax.text.store import TokenStore

  run = runs.at(workdir)
  store = TokenStore.open(run.workdir.store)
  lm = lm_stage.load(run, store, 'A')
  tokens_BT = store.tokens('val', np.arange(16))
  _, acts_BTA = lm(jnp.asarray(tokens_BT))
  x_NA = np.asarray(acts_BTA, np.float64).reshape(-1, 32)
  sae = safetensors.numpy.load_file(workdir / program.SAE)
  f_NF = np.maximum((x_NA - sae['b_dec']) @ sae['W_enc'] + sae['b_enc'], 0)
  error_NA = f_NF @ sae['W_dec'] + sae['b_dec'] - x_NA
  found = report['dictionaries']['A/1']
  assert found['l0'] == pytest.approx((f_NF > 0).sum(1).mean(), abs=0.02)
  assert found['l1_norm'] == pytest.approx(f_NF.sum(1).mean(), rel=1e-4)
  assert found['mse'] == pytest.approx((error_NA**2).mean(), rel=1e-4)
  assert found['explained_variance'] == pytest.approx(
    1 - (error_NA**2).sum() / ((x_NA - x_NA.mean(0)) ** 2).sum(), rel=1e-4
  )
  assert found['silent'] == ((f_NF > 0).sum(0) == 0).sum()


def test_labels_by_hand_stand_beside_the_papers_medians(tmp_path):
  import shutil

  from monosem_jax.config.errors import UserError
  from monosem_jax.stages import report

  workdir = shutil.copytree(program.finished(), tmp_path / 'run')
  run = runs.at(workdir)

  def label(feature, interval, confidence, consistency):
    rubric = dict(
      confidence=confidence,
      consistency=consistency,
      logits=3,
      separation=None,
      specificity=2,
    )
    return dict(
      feature=feature,
      interval=interval,
      label='',
      by='Ada',
      kind='human',
      blind=True,
      rubric=rubric,
      score=None,
    )

  labels = [
    label('A/1/5', 'Top Activations', 3, 5),  # 13
    label('A/1/5', 'Subsample Interval 9', 1, 1),  # 7
    label('A/1/6', 'Top Activations', 2, 4),  # 11
    label('A/neurons/0', 'Top Activations', 0, 1),  # 6
  ]
  assert 'labels' not in program.report(workdir)
  file = dict(format=1, labels=labels)
  (workdir / 'labels.json').write_text(json.dumps(file))
  report.write(run)
  found = program.report(workdir)['labels']['blind']
  assert found['features']['median'] == 11
  assert found['neurons']['median'] == 6
  text = (workdir / 'report.md').read_text()
  assert '| features, blind | 12 | 11 | 3 | 2 | 67% |' in text
  assert '| neurons, blind | 0 | 6 | 1 | 1 | 0% |' in text
  assert 'Top Activations 12 (of 2), Subsample Interval 9 7 (of 1)' in text
  assert 'in sight' not in text

  labels[3]['feature'] = 'A/neurons/x'
  (workdir / 'labels.json').write_text(json.dumps(file))
  with pytest.raises(UserError, match=r'labels\[3\].*A/neurons/x'):
    report.write(run)
  # Labels of what this run has not got cannot be right either.
  labels[3]['feature'] = 'A/1/48'
  (workdir / 'labels.json').write_text(json.dumps(file))
  with pytest.raises(UserError, match='A/1 has only 48 features'):
    report.write(run)
