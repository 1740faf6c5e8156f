"""Finds the L1 coefficient for a target L0, before step 0.

The coefficient depends on the scale of the activations, so it does not transfer
between models; a target sparsity does. The paper gives no procedure; this one
is ours. Short trial trainings on the first chunk's rows measure the L0 of a
coefficient, and a search in log space approaches the target.

L0 keeps falling long after the reconstruction has settled, so a trial must
predict a training many times its length. Its learning rate is `calibration_lr`
times the real one, and Adam's second moments decay within ten steps, which
keeps the steps of rarely firing features large. The trial predicts the end of a
training at the real rate, not its state after as many steps.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary.state import DictionaryState
from monosem_jax.dictionary.step import train_step
from monosem_jax.dictionary.stream import Rows

# Maximum number of trials.
_TRIALS = 8
# The search ends within this factor of the target L0.
_CLOSE = 1.05


def l1_for_l0(
  c: settings.Dictionary,
  state: DictionaryState,
  rows: Rows,
  precision: str,
  log: Callable[[str], None],
) -> jax.Array:
  """Finds the L1 coefficient whose trial ends at `c.l1_target_l0`.

  Args:
    c: the dictionary's settings; the search starts at `c.l1`.
    state: the initial state of training.
    rows: rows of the first chunk, which trials may repeat.
    precision: precision of the matrix products.
    log: takes a line per trial.

  Returns:
    The coefficient, a scalar.
  """
  trial, lr = _make_trial(c, precision), state.lr * c.calibration_lr

  def l0_at(log_l1: float) -> float:
    l1 = jnp.full_like(state.l1, math.exp(log_l1))
    l0 = float(trial(dataclasses.replace(state, l1=l1, lr=lr), rows))
    log(
      f'trial of {c.calibration_steps} steps: l1 {float(l1):.4g}, L0 {l0:.3g}'
    )
    return l0

  log_l1 = search(l0_at, math.log(c.l1), c.l1_target_l0)
  return jnp.full_like(state.l1, math.exp(log_l1))


def search(
  l0_at: Callable[[float], float], start: float, wanted: float
) -> float:
  """Finds x with l0_at(x) near `wanted`, for an l0_at that falls with x.

  A secant method in log L0. Once a bracket exists, a step that would leave it
  becomes a bisection. Returns the best of all trials.
  """
  low, high = -math.inf, math.inf  # too dense at low, too sparse at high
  tried: list[tuple[float, float]] = []
  x = start
  for _ in range(_TRIALS):
    # The floor avoids log(0).
    gap = math.log(max(l0_at(x), 1e-3) / wanted)
    tried.append((x, gap))
    if abs(gap) < math.log(_CLOSE):
      break
    low, high = (x, high) if gap > 0 else (low, x)
    slope = -1.0
    if len(tried) > 1:
      (x0, gap0), (x1, gap1) = tried[-2:]
      if x0 != x1:
        slope = min((gap1 - gap0) / (x1 - x0), -0.5)
    # At most a factor of 10: far from the target the secant is unreliable.
    guess = x + max(-2.3, min(2.3, -gap / slope))
    inside = low < guess < high
    x = guess if inside else (low + high) / 2
  return min(tried, key=lambda t: abs(t[1]))[0]


def _make_trial(
  c: settings.Dictionary, precision: str
) -> Callable[[DictionaryState, Rows], jax.Array]:
  """Compiles `trial(state, rows) -> L0` over the trial's last steps."""
  hasty = dataclasses.replace(c, beta2=0.9)
  dot = Dot(compute_dtype(precision))

  @jax.jit
  def trial(state: DictionaryState, rows: Rows) -> jax.Array:
    def step(
      state: DictionaryState, i: jax.Array
    ) -> tuple[DictionaryState, jax.Array]:
      index_MGn = rows.index_SMGn[i % rows.index_SMGn.shape[0]]
      state, numbers, _ = train_step(hasty, state, rows, index_MGn, dot)
      return state, numbers['l0']

    l0_S: jax.Array
    _, l0_S = jax.lax.scan(step, state, jnp.arange(c.calibration_steps))
    return l0_S[-max(1, c.calibration_steps // 10) :].mean()

  return trial
