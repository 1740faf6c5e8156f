"""All meshes of a target, beside each other: launch/plan.py."""

import re
import subprocess
import sys

import program
import pytest
from compilers import needs_compilers

from launch import plan

PATH = program.ROOT / 'launch' / 'plan.py'


def _run(*argv):
  return subprocess.run(
    [sys.executable, str(PATH), *argv],
    env=program.environment(),
    cwd=program.ROOT,
    capture_output=True,
    text=True,
    timeout=600,
  )


def test_every_layout_of_the_devices_is_thought_of():
  found = [(m.data, m.feature) for m in plan.meshes(12)]
  assert found == [(12, 1), (6, 2), (4, 3), (3, 4), (2, 6), (1, 12)]


def test_a_plan_for_no_hardware_is_refused():
  done = _run('--config=configs/tiny.py', '--target=h10:8')
  assert done.returncode == 2
  assert done.stderr.startswith("error: --target=h10:8: unknown hardware 'h10'")
  assert done.stdout == ''


@pytest.mark.slow
@needs_compilers
def test_the_meshes_that_can_share_the_work_stand_in_order_of_their_speed():
  done = _run(
    *('--config=configs/tiny.py', '--target=h100:4'),
    '--config.stream.shuffle_groups=2',
  )
  assert done.returncode == 0, done.stderr
  assert '4 x 1: stream.shuffle_groups: 2 cannot be spread' in done.stderr
  header, *rows = (
    re.split(r' {2,}', line) for line in done.stdout.splitlines()
  )
  assert tuple(header) == plan.HEADER
  assert {row[1] for row in rows} == {'2 x 2', '1 x 4'}
  rates = [int(row[5].replace(',', '')) for row in rows]
  assert rates == sorted(rates, reverse=True) and rates[-1] > 0
