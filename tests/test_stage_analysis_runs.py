"""The stage `analysis`: completed, changed, killed and refused."""

import shutil
import signal

import program
import pytest
from two_models import config, finished, numbers, run, strict

from monosem_jax.stages.analysis.declaration import analyses


@pytest.fixture
def analysed(tmp_path):
  return shutil.copytree(finished(), tmp_path / 'w')


def test_what_is_complete_is_not_made_again(analysed):
  before = program.files(analysed)
  log = run('analysis', analysed).stdout
  for name in analyses():
    assert f'analysis/{name}: complete' in log
  assert program.files(analysed) == before


def test_a_changed_setting_makes_what_it_changes_anew(analysed):
  log = run(
    'analysis',
    analysed,
    '--only=splitting,density',
    '--config.analysis.splitting.threshold=0.9',
  ).stdout
  assert 'analysis/density: complete' in log
  assert 'analysis/splitting: done' in log
  again = strict(analysed / 'analysis' / 'splitting' / 'numbers.json')
  assert again['threshold'] == 0.9
  assert again['steps'] != numbers('splitting')['steps']


def test_a_decoder_that_is_too_large_to_refit_is_not_measured(analysed):
  run(
    'analysis',
    analysed,
    '--only=preserved',
    '--config.analysis.block_bytes=18_431',
  )
  found = strict(analysed / 'analysis' / 'preserved' / 'numbers.json')['runs']
  assert found['A/random']['loss_recovered'] is None
  assert '18,432 bytes' in found['A/random']['loss_recovered_reason']
  kept = numbers('preserved')['runs']
  assert found['A/1']['l0'] == kept['A/1']['l0']
  assert '| A/random |' in (analysed / 'report.md').read_text()


def test_a_killed_analysis_goes_on(analysed):
  for name in ('density', 'logits'):
    (analysed / 'analysis' / name / 'numbers.json').unlink()
  arguments = (f'--config={config()}', '--only=density,logits')
  code, _ = program.interrupt(
    signal.SIGKILL,
    (analysed / 'analysis' / 'density' / 'numbers.json').exists,
    'analysis',
    analysed,
    *arguments,
  )
  assert code == -signal.SIGKILL
  log = run('analysis', analysed, '--only=density,logits').stdout
  assert 'analysis/density: complete' in log
  assert 'analysis/logits: done' in log
  for name in ('density', 'logits'):
    made = strict(analysed / 'analysis' / name / 'numbers.json')
    assert made == numbers(name)


def test_one_model_is_told_what_it_lacks():
  """`all` of the one-model config makes every analysis that it can."""
  report = program.report(program.finished())['analysis']
  assert 'models.B' in report['not_here']['universality']
  assert 'features alone' in report['not_here']['splitting']
  row = next(r for r in report['scorecard'] if r['paper'] == 0.72)
  assert (row['run'], row['why']) == (None, report['not_here']['universality'])
  assert (program.finished() / 'site' / 'index.html').exists()


@pytest.mark.parametrize(
  ('arguments', 'words'),
  [
    (['analysis', '--only=densty'], ["'densty'", "'density'"]),
    (['features', '--only=density'], ['--only', 'analysis', 'features']),
    (['analysis', '--config.analysis.main=A2'], ['analysis.main', "'A2'"]),
    (['analysis', '--config.analysis.match=A0'], ['analysis.match', 'A1']),
    (['analysis', '--config.analysis.match=S1'], ['analysis.match', 'A1']),
    (['analysis', '--config.analysis.controls=x'], ['controls', "'x'"]),
    (['analysis', '--config.analysis.texts.active=0'], ['texts.active', '0']),
    (
      ['analysis', '--config.analysis.splitting.threshold=2'],
      ['splitting.threshold', '2'],
    ),
  ],
)
def test_what_cannot_be_is_refused(tmp_path, arguments, words):
  stage, *more = arguments
  refused = program.refusal(
    stage, f'--config={config()}', f'--workdir={tmp_path / "none"}', *more
  )
  for word in words:
    assert word in refused


def test_without_the_extra_it_says_what_to_install(analysed, monkeypatch):
  import importlib.util

  real = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    'find_spec',
    lambda name, *a: None if name == 'umap' else real(name, *a),
  )
  refused = program.refusal(
    'analysis', f'--config={config()}', f'--workdir={analysed}'
  )
  assert 'umap' in refused and 'monosem_jax[analysis]' in refused
  code, said = program.call(
    'all', f'--config={config()}', f'--workdir={analysed}'
  )
  assert code == 0, said


def test_it_waits_for_the_stages_before(tmp_path):
  run('tokens', tmp_path / 'w')
  refused = run('analysis', tmp_path / 'w', code=2).stderr
  assert refused.count('\n') == 1 and 'run the stage' in refused
