"""The trials of recipes: what is tried, how it is told, and mistakes."""

import importlib.util
import subprocess
import sys

import program
import pytest

from monosem_jax.config import settings

SCRIPT = program.ROOT / 'launch' / 'recipe_trials.py'


@pytest.fixture(scope='module')
def trials():
  spec = importlib.util.spec_from_file_location('recipe_trials', SCRIPT)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_every_choice_is_tried_with_every_seed_at_one_penalty(trials):
  c = settings.Dictionary(
    features=64, l1=0.02, l1_target_l0=5.0, lr_decay=0.3, init='tied'
  )
  found = trials.trials(c, 2)
  assert len(found) == 2 * len(trials.CHOICES) == len(set(found.values()))
  for (name, seed), d in found.items():
    assert (d.seed, d.features, d.l1_target_l0) == (seed, 64, 0)
    assert d.l1 == pytest.approx(0.014 if 'l1 x 0.7' in name else 0.02)
    assert bool(d.resampling.steps) != ('never' in name)
  paper = found['paper, paper', 1]
  assert (paper.init, paper.resampling.placement) == ('paper', 'paper')
  assert paper.lr_decay == 0


def test_the_table_says_means_and_deviations_over_seeds(trials):
  row = dict.fromkeys(trials.COLUMNS, 0.0)
  rows = {('a', 0): row | {'L0': 4.0}, ('a', 1): row | {'L0': 6.0}}
  *_, told = trials.table(rows).splitlines()
  # The deviation of a sample of two: 2 / sqrt(2).
  assert told.split(' | ')[4] == '5.0 ± 1.4'


@pytest.mark.parametrize(
  ('flag', 'said'),
  [('--sedes=2', 'unknown flag --sedes=2'), ('--seeds=0', 'at least 1')],
)
def test_a_mistake_is_one_line(tmp_path, flag, said):
  done = subprocess.run(
    [sys.executable, SCRIPT, f'--workdir={tmp_path}', flag],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 2
  assert said in done.stderr and done.stderr.count('\n') == 1
