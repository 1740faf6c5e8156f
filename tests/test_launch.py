"""The scripts of launch/."""

import subprocess

import program
import pytest

SCRIPTS = sorted((program.ROOT / 'launch').glob('*.sh'))


def test_there_are_scripts():
  assert {'quickstart.sh', 'test.sh'} <= {p.name for p in SCRIPTS}


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
