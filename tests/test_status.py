"""`monosem status`, `--from`, and what each stage says of itself."""

import contextlib
import datetime
import io
import json
import pathlib
import re
import shutil
import subprocess
import sys

import program
import pytest

from monosem_jax import stages
from monosem_jax.stages.analysis import declared
from monosem_jax.stages.toy import PARTS

FLOW = [
  *('tokens', 'models/A', 'dictionaries/stream_A', 'evaluation/A1'),
  *('features/A1', 'controls/A_neurons', 'features/A_neurons'),
  *(f'analysis/{name}' for name in declared()),
  'site',
]
ALL = FLOW + [f'toy/{name}' for name in PARTS]


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
  """A finished run of one's own."""
  return shutil.copytree(program.finished(), tmp_path / 'run')


def said(*argv: str) -> str:
  out = io.StringIO()
  with contextlib.redirect_stdout(out):
    code, err = program.call(*argv)
  assert code == 0, err
  return out.getvalue()


def rows(workdir: pathlib.Path, *more: str) -> dict[str, dict]:
  found = json.loads(said('status', f'--workdir={workdir}', '--json', *more))
  return {row['name']: row for row in found}


def states(workdir: pathlib.Path, *more: str) -> dict[str, str]:
  return {name: row['state'] for name, row in rows(workdir, *more).items()}


def test_a_finished_run_is_complete_and_its_sizes_are_those_of_its_files(
  workdir,
):
  before = program.files(workdir)
  found = rows(workdir)
  assert list(found) == ALL
  for name, row in found.items():
    state = 'missing' if name.startswith('toy/') else 'complete'
    assert row['state'] == state, row
    assert row['changed'] == [] and row['step'] == row['steps'] == 0
    assert (row['bytes'] > 0) == (row['time'] is not None) == (name in FLOW)
  assert found['models/A']['stage'] == 'lm'
  # Each file is counted once, but for those of no artefact.
  counted = sum(row['bytes'] for row in found.values())
  of_none = ('config.json', 'metrics.jsonl', 'report.', 'tensorboard/')
  assert counted == sum(
    len(data)
    for name, data in before.items()
    if not name.startswith((*of_none, 'analysis/summary/'))
  )
  last = max(p.stat().st_mtime for p in (workdir / 'tokens').rglob('*.*'))
  when = datetime.datetime.fromisoformat(found['tokens']['time'])
  assert when.timestamp() == int(last)
  assert program.files(workdir) == before


def test_the_table_has_a_line_for_each_artefact(workdir):
  lines = said('status', f'--workdir={workdir}').splitlines()
  head, *body = (re.split('  +', line.strip()) for line in lines)
  assert head == ['artefact', 'bytes', 'last change', 'state']
  assert [line[0] for line in body] == ALL
  for name, size, time, state in body:
    there = name in FLOW
    assert state == ('complete' if there else 'missing')
    assert (size, time) == ('0', '-') or there
  assert {len(line) - len(line.lstrip()) for line in lines} == {0}


def test_a_training_that_is_half_done_says_at_which_step(workdir):
  (workdir / 'models/A/result.json').unlink()
  checkpoints = workdir / 'models/A/checkpoints'
  for path in checkpoints.iterdir():
    shutil.rmtree(path)
  (checkpoints / '7').mkdir()
  found = rows(workdir)['models/A']
  assert (found['state'], found['step'], found['steps']) == ('half done', 7, 12)
  table = said('status', f'--workdir={workdir}')
  assert re.search(r'^models/A .*  half done: step 7 of 12$', table, re.M)


def test_what_is_stale_says_because_of_what(workdir):
  config = f'--config={program.config()}'
  found = rows(workdir, config, '--config.features.top=7')
  stale = [name for name, row in found.items() if row['state'] == 'stale']
  assert stale == ['features/A1', 'features/A_neurons']
  assert found['features/A1']['changed'] == ['features.top: 20 before, 7 now']
  found = rows(workdir, config, '--config.lm.steps=14')
  assert (found['models/A']['step'], found['models/A']['steps']) == (12, 14)
  with (workdir / program.LM).open('ab') as file:
    file.write(b' ')
  found = rows(workdir, config)
  assert found['models/A']['state'] == 'complete'
  for name in ('dictionaries/stream_A', 'features/A1', 'analysis/density'):
    assert found[name]['changed'] == ['its input models/A has changed']
  table = said('status', f'--workdir={workdir}')
  assert re.search('^features/A1 .*  stale: its input models/A ', table, re.M)


def test_a_run_that_has_begun_has_missing_parts(workdir):
  for folder in ('features', 'analysis', 'site'):
    shutil.rmtree(workdir / folder)
  (workdir / 'analysis/density').mkdir(parents=True)
  shutil.copy(
    program.finished() / 'analysis/density/stamp.json',
    workdir / 'analysis/density',
  )
  found = states(workdir)
  assert found['evaluation/A1'] == 'complete'
  assert found['features/A1'] == found['site'] == 'missing'
  assert found['analysis/density'] == 'half done'
  assert found['analysis/preserved'] == 'missing'


def test_status_reads_without_jax(workdir):
  done = subprocess.run(
    [
      sys.executable,
      '-c',
      'import sys; from monosem_jax import main; main.run()\n'
      "assert 'jax' not in sys.modules, 'status imports jax'",
      *('status', f'--workdir={workdir}'),
    ],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith('artefact')


def test_status_of_nothing_is_of_a_config(tmp_path):
  message = program.refusal('status', f'--workdir={tmp_path}')
  assert f'no file {tmp_path / "config.json"}' in message
  assert '--config' in program.refusal('status')
  found = states(tmp_path / 'run', f'--config={program.config()}')
  assert set(found.values()) == {'missing'}
  assert not (tmp_path / 'run').exists()
  (tmp_path / 'config.json').write_text('{')
  message = program.refusal('status', f'--workdir={tmp_path}')
  assert 'is not valid JSON' in message


def test_from_takes_what_comes_before_as_it_is(workdir):
  shutil.rmtree(workdir / 'site')
  out = program.run('all', workdir, '--from=site').stdout
  assert 'site: open' in out and 'complete' not in out
  assert states(workdir)['site'] == 'complete'


def test_from_refuses_what_is_not_complete_and_changes_nothing(workdir):
  (workdir / 'models/A/result.json').unlink()
  before = program.files(workdir)
  code, err = program.call(
    *('all', '--from=features', f'--workdir={workdir}'),
    *(f'--config={program.config()}', '--config.text.seed=3'),
  )
  assert code == 2
  assert err == (
    'error: --from=features: earlier stages are not complete:\n'
    '  tokens: stale: text.seed: 0 before, 3 now\n'
    '  models/A: half done: step 12 of 12\n'
    'Start at an earlier stage, or restore the settings that changed.\n'
  )
  assert program.files(workdir) == before


def test_from_wants_a_stage_of_the_flow_and_is_a_flag_of_all(tmp_path):
  where = (f'--config={program.config()}', f'--workdir={tmp_path / "run"}')
  for wrong in ('feature', 'toy', 'all'):
    message = program.refusal('all', f'--from={wrong}', *where)
    assert f"--from: unknown stage '{wrong}'" in message
  message = program.refusal('lm', '--from=lm', *where)
  assert '--from is a flag of the stage all, not of lm' in message


@pytest.mark.parametrize('stage', stages.NAMES)
def test_help_of_a_stage_says_what_it_does_and_its_flags(stage):
  done = subprocess.run(
    [
      sys.executable,
      '-c',
      'import sys; from monosem_jax import main; main.run()\n'
      "assert 'jax' not in sys.modules, 'help imports jax'",
      *(stage, '--help'),
    ],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 0, done.stderr
  assert f'Stage `{stage}`: ' in done.stdout
  assert done.stdout.startswith(f'monosem {stage} ')
  shown = set(re.findall(r'^  --(\w+)', done.stdout, re.M))
  assert shown == {flag.name for flag in stages.flags(stage)}
  assert max(map(len, done.stdout.splitlines())) <= 80
  # All help has the stage and its flags, too.
  everything = said('--help')
  line = f'\n  {stage:9} {stages.summary(stage)}\n'
  assert line in everything
  for name in shown:
    assert len(re.findall(rf'^  --{name}\b', everything, re.M)) == 1
