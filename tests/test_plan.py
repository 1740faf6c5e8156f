"""The plan on paper: launch/plan.py."""

import dataclasses
import importlib.util
import math
import re
import subprocess
import sys

import program
import pytest

from monosem_jax import config as configs
from monosem_jax.cost import Devices, Work
from monosem_jax.cost.hardware import H200, Hardware

PATH = program.ROOT / 'launch' / 'plan.py'
_spec = importlib.util.spec_from_file_location('plan', PATH)
plan = importlib.util.module_from_spec(_spec)
sys.modules['plan'] = plan  # dataclasses look their module up
_spec.loader.exec_module(plan)

# 100 FLOP/s, 10 bytes/s of memory, 1 byte/s of links.
SMALL = Hardware('small', 100.0, 50.0, 1_000.0, 10.0, 1.0)


def _a1(*overrides):
  return configs.load(str(program.ROOT / 'configs' / 'a1.py'), overrides)


def _run(*argv):
  return subprocess.run(
    [sys.executable, str(PATH), *argv],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=200,
  )


def test_a_phase_takes_as_long_as_the_slowest_of_its_demands():
  seconds, bounds = plan.roofline(
    {
      'products': Work(flops=200, traffic=10),
      'pass': Work(flops=1, traffic=30),
      'sums': Work(traffic=10, sent=5),
    },
    SMALL,
    'bfloat16',
  )
  assert seconds == {'products': 2.0, 'pass': 3.0, 'sums': 5.0}
  assert bounds == {'products': 'flops', 'pass': 'traffic', 'sums': 'sent'}
  seconds, _ = plan.roofline({'x': Work(flops=200)}, SMALL, 'float32')
  assert seconds == {'x': 4.0}


def _estimate(devices, seconds, memory):
  return plan.Estimate(devices, {}, {}, seconds, 0, 0, memory)


def test_the_fastest_mesh_that_fits_is_taken():
  known = {
    Devices(4, 1): _estimate(Devices(4, 1), 1.0, 900),
    Devices(2, 2): _estimate(Devices(2, 2), 2.0, 500),
    Devices(1, 4): _estimate(Devices(1, 4), 3.0, 300),
  }
  best = lambda memory: plan.best(known.get, known, memory).devices
  assert best(1_000) == Devices(4, 1)
  assert best(600) == Devices(2, 2)
  assert best(100) == Devices(1, 4)  # none fits: the nearest
  assert plan.best(known.get, [], 1_000) is None


def test_only_meshes_that_a_run_would_accept_are_thought_of():
  from monosem_jax import mesh as meshes, settings
  from monosem_jax.errors import UserError
  from monosem_jax.stages import programs

  for overrides in (
    (),
    ('stream.shuffle_groups=2',),
    ('stream.micro_batches=128',),
  ):
    config = _a1(*overrides)
    found = set(plan.sae_meshes(config, 'A', 8))
    for data, feature in ((8, 1), (4, 2), (2, 4), (1, 8)):
      mesh = settings.Mesh(data=data, feature=feature)
      try:
        programs.stream_mesh(dataclasses.replace(config, mesh=mesh), ['A1'])
      except UserError:
        assert Devices(data, feature) not in found
      else:
        assert Devices(data, feature) in found
    assert found
    assert meshes.AXES == ('data', 'feature')


def test_a1_on_one_device_takes_what_its_five_products_take_and_more():
  e = plan.sae(_a1(), 'A', Devices(), H200, 'bfloat16')
  # 8.192 billion rows, 512 x 4,096, five products of 2 FLOPs.
  least = 8.192e9 * 10 * 512 * 4_096 / 989.5e12
  assert least < e.seconds < 4 * least
  assert e.units == 1_024_000
  # The rows in bfloat16 alone; far from all there is.
  assert 1_024_000 * 512 * 2 < e.memory < 8e9


@pytest.mark.parametrize('estimate', ['lm', 'sae'])
def test_more_devices_are_faster_but_never_more_than_their_number(estimate):
  seconds = {
    n: getattr(plan, estimate)(
      _a1(), 'A', Devices(n, 1), H200, 'bfloat16'
    ).seconds
    for n in (1, 2, 8)
  }
  assert seconds[1] / 2 <= seconds[2] < seconds[1]
  assert seconds[1] / 8 <= seconds[8] < seconds[2]


def test_a_resampling_is_paid_where_it_falls_into_the_run():
  seconds = lambda *steps: (
    plan.sae(
      _a1(f'dictionaries.A1.resampling.steps={steps}', 'stream.steps=10000'),
      *('A', Devices(), H200, 'bfloat16'),
    ).seconds
  )
  once = seconds(5_000) - seconds()
  # Two products over 819,200 candidates at the least.
  assert once > 819_200 * 4 * 512 * 4_096 / 989.5e12
  assert math.isclose(seconds(5_000, 7_500) - seconds(), 2 * once)
  assert seconds(25_000) == seconds()


def test_the_table_has_the_three_runs_and_what_they_need():
  done = _run()
  assert done.returncode == 0, done.stderr
  rows = [re.split(r' {2,}', line) for line in done.stdout.splitlines()[1:]]
  runs = {row[0] for row in rows}
  assert runs == {
    *('A/1: transformer', 'A/1: dictionaries'),
    *('A/0 to A/5: dictionaries', '34M: dictionaries'),
  }
  assert all(len(row) == 8 for row in rows), 'a run without a mesh'
  assert 'TOO MUCH' not in done.stdout
  large = [row for row in rows if row[0].startswith('34M')]
  assert {row[1].split()[0] for row in large} == {'256'}


def test_a_run_of_ones_own_is_planned_with_overrides():
  config = program.ROOT / 'configs' / 'a1.py'
  done = _run(f'--config={config}', '--hardware=v5e', '--devices=8')
  assert done.returncode == 0, done.stderr
  assert '8 x TPU v5e' in done.stdout
  done = _run(f'--config={config}', '--config.sae.features=2**40')
  assert done.returncode == 1
  assert done.stderr.startswith('error: ')
  assert 'Traceback' not in done.stderr


def test_what_cannot_fit_is_said():
  config = program.ROOT / 'configs' / 'a1.py'
  done = _run(
    f'--config={config}',
    '--config.dictionaries.A1.features=16777216',
    '--config.dictionaries.A1.resampling.candidates=0',
    '--config.dictionaries.A1.resampling.steps=',
    '--hardware=v5e',
  )
  assert done.returncode == 0, done.stderr
  assert 'TOO MUCH' in done.stdout


def test_this_machine_is_measured_predicted_and_run():
  done = _run('--measure', f'--config={program.config()}', '--rounds=1')
  assert done.returncode == 0, done.stderr
  assert re.search(
    r'this machine: cpu: [\d.]+ \w?FLOP/s in float32', done.stdout
  )
  for name, unit in (('lm', 'tokens'), ('sae', 'activations')):
    found = re.search(
      rf'{name}: predicted ([\d,]+) {unit}/s, measured ([\d,]+): predicted '
      r'rate off by ([+-][\d,]+)%',
      done.stdout,
    )
    predicted, measured, error = (
      int(x.replace(',', '')) for x in found.groups()
    )
    assert 100 * (predicted / measured - 1) == pytest.approx(error, abs=2)
