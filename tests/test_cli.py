"""What the command line says and refuses, before any stage runs."""

import functools
import os
import pathlib
import subprocess
import sys
import time

import program
import pytest

from monosem_jax import main
from monosem_jax.config import packaged

STAGES = ('tokens', 'lm', 'sae', 'features', 'site', 'all')


def _python(
  code: str, *argv: str, cwd: pathlib.Path | None = None
) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, '-c', code, *argv],
    cwd=cwd,
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=60,
  )


@pytest.mark.parametrize('argv', [(), ('--help',)])
def test_bare_call_and_help_explain_the_stages_at_once_without_jax(argv):
  started = time.monotonic()
  done = _python(
    'import sys; from monosem_jax import main; main.run()\n'
    "assert 'jax' not in sys.modules, 'help imports jax'",
    *argv,
  )
  assert done.returncode == 0, done.stderr
  assert time.monotonic() - started < 10
  for stage in STAGES:
    assert f'\n  {stage} ' in done.stdout
  assert 'monosem all --config=configs/' in done.stdout
  for flag in ('--config=', '--workdir=', '--dry_run', '--help'):
    assert f'\n  {flag}' in done.stdout


def test_importing_the_package_imports_nothing_heavy():
  done = _python(
    'import sys, monosem_jax\n'
    "print({'jax', 'flax', 'grain', 'orbax', 'numpy'} & set(sys.modules))"
  )
  assert done.stdout == 'set()\n', done.stderr


def test_the_program_runs_as_a_module_and_fails_without_a_traceback():
  done = program.run('tokns', pathlib.Path('unused'), code=2)
  assert (
    done.stderr == "error: unknown stage 'tokns' (did you mean 'tokens'?).\n"
  )


@pytest.fixture
def argv(tmp_path):
  return [
    'tokens',
    f'--config={program.config()}',
    f'--workdir={tmp_path / "run"}',
  ]


@pytest.mark.parametrize(
  ('changed', 'said'),
  [
    (['lmm'], ["'lmm'", "'lm'"]),
    (['tokens', 'lm'], ['one stage', '2']),
    ([], ['one stage']),
    (['all', '--workdri=x'], ['workdri', 'workdir']),
    (['all', '--dryrun'], ['dryrun', 'dry_run']),
    (['all', '--xyzzy=3'], ['xyzzy', 'workdir']),
    (['all', '--config.sae.feature=3'], ['sae.feature', "'features'"]),
    (['all', '--config.strem.steps=3'], ['strem', "'stream'"]),
    (['all', '--config.models.B.lr=3'], ['models.B', 'A']),
    (['all', '--config.dictionaries.A2.l1=3'], ['A2', 'A1']),
    (
      ['all', '--config.sae.resampling.step=3'],
      ['resampling.step', "'steps'"],
    ),
    (['all', '--config.lm.lr.x=3'], ['lm.lr.x']),
    (['all', '--config.lm.lr'], ['--config.lm.lr', '=VALUE']),
    (['all', '--config.lm=3'], ['lm', 'group']),
    (['all', '--config.sae.resampling=3'], ['resampling', 'group']),
    (['all', '--config.models.A=3'], ['models.A', 'group']),
  ],
)
def test_a_wrong_word_is_named_with_its_nearest_neighbour(
  argv, tmp_path, changed, said
):
  message = program.refusal(*changed, *argv[1:])
  for words in said:
    assert words in message
  assert not (tmp_path / 'run').exists()


def test_a_missing_config_file_names_the_nearest_one(tmp_path):
  (tmp_path / 'small.py').write_text('')
  message = program.refusal(
    'all', f'--config={tmp_path}/smal.py', f'--workdir={tmp_path}/run'
  )
  assert f'no file {tmp_path}/smal.py' in message
  assert f'{tmp_path}/small.py' in message
  assert str(tmp_path) in program.refusal(
    'all', f'--config={tmp_path}', f'--workdir={tmp_path}/run'
  )


def test_a_config_that_comes_with_the_program_goes_by_its_name(tmp_path):
  """From an empty folder; a path is a path, there as anywhere."""
  code = 'from monosem_jax import main; main.run()'
  at = functools.partial(_python, code, 'all', '--dry_run', cwd=tmp_path)
  named, path = (
    at(f'--config={name}')
    for name in ('tiny', program.ROOT / 'configs' / 'tiny.py')
  )
  assert named.returncode == path.returncode == 0, named.stderr + path.stderr
  assert named.stdout == path.stdout
  (tmp_path / 'tiny').write_text('x = 1\n')  # a path comes first
  assert 'get_config()' in at('--config=tiny').stderr
  assert [p.name for p in tmp_path.iterdir()] == ['tiny']


def test_a_config_of_no_name_and_no_path_says_both():
  message = program.refusal('all', '--config=quikstart', '--dry_run')
  assert 'no file quikstart, and no config of that name' in message
  assert '(did you mean quickstart?)' in message
  assert 'the names are a1, april, quickstart, reference' in message


def test_a_config_of_no_name_needs_no_work_directory_to_be_named():
  said = program.refusal('all', '--config=tinny')
  assert 'no file tinny' in said and 'did you mean tiny?' in said


def test_an_output_that_is_closed_ends_without_a_traceback(tmp_path):
  read, write = os.pipe()
  os.close(read)
  done = subprocess.run(
    program.command('status', tmp_path),
    env=program.environment(),
    stdout=write,
    stderr=subprocess.PIPE,
    text=True,
    timeout=60,
  )
  os.close(write)
  assert done.returncode == 141
  assert done.stderr == 'error: the output was closed.\n'


def test_a_config_by_name_has_a_work_directory_of_that_name():
  assert packaged.workdir('tiny') == 'runs/tiny'
  for path in ('configs/tiny.py', 'tiny.py', 'unknown', '', '.', '..'):
    assert packaged.workdir(path) is None


def test_config_and_workdir_are_needed(argv):
  assert '--workdir' in program.refusal('all', argv[1])
  assert '--config' in program.refusal('all', argv[2])
  assert '--config' in program.refusal('all', '--config=', argv[2])


def test_a_work_directory_that_is_a_file_is_refused(argv, tmp_path):
  (tmp_path / 'file').write_text('mine')
  message = program.refusal(*argv[:2], f'--workdir={tmp_path / "file"}')
  assert 'is a file' in message
  assert (tmp_path / 'file').read_text() == 'mine'


def test_stages_out_of_order_say_what_is_missing(tmp_path):
  for stage in ('lm', 'sae', 'features', 'site'):
    code, err = program.call(
      stage, f'--config={program.config()}', f'--workdir={tmp_path}'
    )
    assert code == 2
    assert str(tmp_path) in err


def test_features_before_sae_say_what_is_missing(tmp_path):
  import shutil

  for folder in ('tokens', 'models'):
    shutil.copytree(program.finished() / folder, tmp_path / folder)
  message = program.refusal(
    'features', f'--config={program.config()}', f'--workdir={tmp_path}'
  )
  assert 'dictionaries/A1' in message
  assert 'run the stage' in message


def test_a_device_with_too_little_memory_is_said_in_words(capsys):
  def work(argv):
    # As XLA says it, of an array that no machine holds.
    import jax.numpy as jnp

    jnp.zeros(2**50)

  with pytest.raises(SystemExit) as e:
    main.run(work)
  assert e.value.code == 2
  said = capsys.readouterr().err
  assert said.startswith('error: the device has too little memory: Out of memo')
  assert 'features.batch_size' in said and 'Traceback' not in said
