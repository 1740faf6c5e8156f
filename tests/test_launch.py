"""The scripts of launch/ are sound."""

import shutil
import subprocess

import program
import pytest
from launched import LAUNCH

BATCH = LAUNCH / 'slurm.sbatch'
SCRIPTS = [*sorted(LAUNCH.glob('*.sh')), BATCH]


def test_there_are_scripts():
  assert {'quickstart.sh', 'test.sh', 'tpu_pod.sh', 'slurm.sbatch'} <= {
    p.name for p in SCRIPTS
  }


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda p: p.name)
def test_a_script_is_sound_bash_that_stops_at_the_first_failure(path):
  done = subprocess.run(
    ['bash', '-n', str(path)], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  text = path.read_text()
  assert text.startswith(('#!/usr/bin/env bash\n', '#!/bin/bash\n', '#'))
  if text.startswith('#!'):
    assert path.stat().st_mode & 0o111, 'not executable'
    sourced = any(
      f'source launch/{path.name}' in p.read_text() for p in SCRIPTS
    )
    assert sourced or 'set -e' in text


@pytest.mark.skipif(
  not shutil.which('shellcheck'), reason='shellcheck is not installed'
)
def test_shellcheck_has_nothing_to_say():
  done = subprocess.run(
    ['shellcheck', *map(str, SCRIPTS)],
    cwd=program.ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
  'flags',
  [
    ['--distributed'],
    ['--coordinator=a:8482', '--num_processes=2', '--process_id=1'],
  ],
)
def test_the_program_has_the_flags_that_the_scripts_give_it(flags):
  said = program.refusal('all', '--config=none.py', '--workdir=w', *flags)
  assert 'no file none.py' in said
