"""How speeds are measured and told: launch/benchmark/."""

import importlib
import subprocess
import sys

import program
import pytest

from launch.benchmark import __main__ as benchmark, bare, measure


def test_works_take_turns():
  said = []
  works = {
    name: lambda name=name: said.append(name) or len(said) for name in 'ab'
  }
  assert measure.in_turn(works, 3) == {'a': [1, 3, 5], 'b': [2, 4, 6]}
  assert said == list('ababab')


def test_a_ratio_is_of_what_was_measured_together():
  # The machine was half as fast in the second round, and stalled in the third.
  assert measure.ratio([2.0, 4.0, 2.0], [1.0, 2.0, 9.0]) == 2


def test_a_speed_says_flops_and_their_share_of_the_peak(monkeypatch):
  monkeypatch.setattr(measure, 'peak', lambda: 1_000.0)
  found = measure.Speed(units=100, seconds=[1.0, 2.0, 4.0], flops=5.0).told()
  assert found == {
    'per_second': 50.0,
    'rounds': 3,
    'least': 25.0,
    'most': 100.0,
    'flops_per_second': 250.0,
    'mfu': 0.25,
  }
  without = measure.Speed(units=100, seconds=[1.0]).told()
  assert 'mfu' not in without and 'flops_per_second' not in without


@pytest.mark.parametrize('features', [512, 4_096, 131_072])
def test_micro_batches_divide_their_batch(features):
  for batch in (1_024, 8_000, 8_192):
    rows = bare.micro_batch(batch, features)
    assert batch % rows == 0 and rows <= 2_048


@pytest.mark.parametrize('name', benchmark.QUESTIONS)
def test_every_question_is_a_module(name):
  module = importlib.import_module(f'launch.benchmark.{name}')
  assert callable(module.bench)


def test_an_unknown_question_is_refused():
  done = subprocess.run(
    [sys.executable, '-m', 'launch.benchmark', 'speed'],
    cwd=program.ROOT,
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=100,
  )
  assert done.returncode == 2
  assert 'unknown: speed (known: step, scale' in done.stderr
