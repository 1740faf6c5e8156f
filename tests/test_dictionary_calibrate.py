"""The search for an L1 coefficient, on curves whose answer is known."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.dictionary import calibrate, state as states
from monosem_jax.dictionary.step import train_step
from monosem_jax.dictionary.stream import Rows

TRIALS, CLOSE = 8, 1.05


class Curve:
  """An L0 that falls with the log of the coefficient; counts its calls."""

  def __init__(self, l0):
    self.l0, self.tried = l0, []

  def __call__(self, x: float) -> float:
    assert math.isfinite(x)
    self.tried.append((x, self.l0(x)))
    return self.tried[-1][1]


def search(l0, start: float, wanted: float):
  """What a search returns, the factor it is off by, and its trials."""
  curve = Curve(l0)
  found = calibrate.search(curve, start, wanted)
  assert found in [x for x, _ in curve.tried]
  factors = {
    x: math.exp(abs(math.log(max(y, 1e-3) / wanted))) for x, y in curve.tried
  }
  assert factors[found] == min(factors.values()), 'not the best of its trials'
  assert len(curve.tried) <= TRIALS
  return found, factors[found], curve.tried


@pytest.mark.parametrize('power', [0.3, 0.5, 1, 2, 4])
@pytest.mark.parametrize('off', [-4, -1, 0.5, 4])
def test_finds_a_power_law_from_either_side(power, off):
  answer = math.log(0.004)
  l0 = lambda x: 10 * math.exp(-power * (x - answer))
  _, factor, tried = search(l0, answer + off, 10)
  assert factor <= CLOSE
  assert tried[0][0] == answer + off


def test_stops_at_the_first_trial_that_is_close_enough():
  _, factor, tried = search(lambda x: 10.4 * math.exp(-x), 0.0, 10)
  assert len(tried) == 1 and factor <= CLOSE


@pytest.mark.parametrize('start', [-5, -2, -0.5, 0.5, 2])
def test_finds_the_slope_before_a_collapse_to_zero(start):
  # A real dictionary's: gentle first, then all features die at x = 0.3.
  l0 = lambda x: 20 * math.exp(-0.7 * x) if x < 0.3 else 0.0
  _, factor, _ = search(l0, start, 20)
  assert factor <= CLOSE


def test_a_cliff_over_the_wanted_l0_ends_beside_it_with_the_best_tried():
  # L0 jumps from 40 to 0: nothing is near 10, and 40 is the least bad.
  l0 = lambda x: 40.0 if x < 1 else 0.0
  found, _, tried = search(l0, 0.0, 10)
  assert found < 1
  assert len(tried) == TRIALS


@pytest.mark.parametrize('start', [-6, 6])
def test_leaves_plateaus(start):
  # Flat at 100 on the left and near 1 on the right, 10 in between.
  l0 = lambda x: 1 + 99 / (1 + math.exp(4 * x))
  _, factor, _ = search(l0, start, 10)
  assert factor < 1.5


@pytest.mark.parametrize(('dense', 'sparse'), [(100, 1), (4000, 0.01)])
@pytest.mark.parametrize('start', [1, 3])
def test_a_step_is_closed_in_on_from_both_sides(dense, sparse, start):
  # All of the fall lies in a fifth of a unit, where secants shoot past it.
  l0 = lambda x: sparse + (dense - sparse) / (1 + math.exp(16 * x))
  _, factor, _ = search(l0, start, 10)
  assert factor <= CLOSE


@pytest.mark.parametrize('seed', range(5))
def test_noise_costs_trials_but_not_the_answer(seed):
  rng = np.random.default_rng(seed)
  l0 = lambda x: 10 * math.exp(-x + 0.03 * rng.normal())
  found, factor, _ = search(l0, 2.0, 10)
  assert factor <= CLOSE
  assert abs(found) < 0.2


def test_l1_for_l0_brings_trials_to_the_wanted_l0():
  rng = np.random.default_rng(0)
  truth_KA = rng.normal(size=(12, 8))
  x = (rng.random((512, 12)) < 0.2) * rng.random((512, 12)) @ truth_KA
  rows = Rows(
    jnp.asarray(x.reshape(1, 1, 512, 8), jnp.float32),
    jnp.asarray(rng.permutation(512).reshape(8, 1, 1, 64), jnp.int32),
  )
  c = settings.Dictionary(
    features=24, l1=1e-4, lr=1e-3, l1_target_l0=3.0, calibration_steps=150
  )
  state = states.init(c, 8)
  lines = []
  l1 = calibrate.l1_for_l0(c, state, rows, 'float32', lines.append)
  assert l1.shape == () and l1.dtype == state.l1.dtype
  # The same trial, made here of the public step.
  hasty = dataclasses.replace(c, beta2=0.9)
  state = state.replace(l1=l1, lr=state.lr * c.calibration_lr)
  step = jax.jit(
    lambda state, index: train_step(
      hasty, state, rows, index, calibrate.Dot(jnp.dtype(jnp.float32))
    )
  )
  l0 = []
  for i in range(150):
    state, numbers, _ = step(state, rows.index_SMGn[i % 8])
    l0.append(float(numbers['l0']))
  assert 3 / 1.06 < np.mean(l0[-15:]) < 3 * 1.06
  assert 1 < len(lines) <= TRIALS
