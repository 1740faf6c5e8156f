"""Matches the doses of pinned features and baselines by norm or by KL.

Pinning a feature changes the activations and so the text. Another direction is
a fair baseline only if its change is equally large or equally costly. This
module matches doses in both ways, and measures the cost in fluency.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def matched(
  f_N: np.ndarray, distance_M: np.ndarray, upwards_M: np.ndarray
) -> np.ndarray:
  """The values to pin a unit to so that it moves by given mean distances.

  The mean of |value - f| over tokens is piecewise linear in the value, with
  knots at the values that f takes. It is smallest at the median of f and grows
  to both sides. The median is returned for distances below that minimum.

  Args:
    f_N: activations of the unit when it is not pinned.
    distance_M: the mean distances.
    upwards_M: whether to return a value above the median or below it.

  Returns:
    value_M.
  """
  f_N = np.asarray(f_N, np.float64)

  def above(f_N: np.ndarray, distance_M: np.ndarray) -> np.ndarray:
    knot_N = np.sort(f_N)
    n = knot_N.size
    below_N = np.cumsum(knot_N)
    rank_N = np.arange(1, n + 1)
    # The sum of distances from each knot to the knots below and above it.
    far_N = rank_N * knot_N - below_N
    far_N += below_N[-1] - below_N - (n - rank_N) * knot_N
    upper = slice((n - 1) // 2, None)
    inside_M = np.interp(distance_M, far_N[upper] / n, knot_N[upper])
    beyond_M = distance_M > far_N[-1] / n
    return np.where(beyond_M, f_N.mean() + distance_M, inside_M)

  return np.where(upwards_M, above(f_N, distance_M), -above(-f_N, distance_M))


@functools.partial(jax.jit, static_argnames=('start',))
def continuation_loss(lm, tokens_BT: jax.Array, *, start: int) -> jax.Array:
  """The loss of a model on texts after their prompt, nats per token: loss_B.

  Under the model without pins this measures fluency: fluent text is likely. A
  text longer than the context is evaluated in windows, which give each token at
  least half a context before it.

  Args:
    lm: the transformer.
    tokens_BT: texts.
    start: length of the prompt in tokens, at least 1.
  """
  total = tokens_BT.shape[1]
  width = min(lm.W_pos_TD[...].shape[0], total)
  loss_B: Any = 0.0
  judged, end = start, width
  while True:
    if judged < end:
      seen_BT = tokens_BT[:, end - width : end]
      x_BTD, _ = lm.residual(seen_BT)
      before = slice(judged - (end - width) - 1, -1)
      log_p_BTV = jax.nn.log_softmax(lm.unembed(x_BTD[:, before]))
      next_BT1 = tokens_BT[:, judged:end, None]
      loss_B -= jnp.take_along_axis(log_p_BTV, next_BT1, axis=-1).sum((1, 2))
      judged = end
    if end == total:
      return loss_B / (total - start)
    end = min(end + max(width // 2, 1), total)


def at_kl(
  kl_M: np.ndarray, y_M: np.ndarray, se_M: np.ndarray, wanted_W: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Reads a dose-response curve at given costs.

  The curve is linear between doses. If it reaches a cost twice, the smaller
  dose counts.

  Args:
    kl_M: the cost of each dose, doses ascending, starting with 0 for no dose.
    y_M: the response to each dose.
    se_M: the standard error of each response.
    wanted_W: the costs.

  Returns:
    The responses y_W and their standard errors se_W; NaN for costs that no dose
    reaches.
  """
  found = []
  for wanted in np.asarray(wanted_W, np.float64):
    reached = np.flatnonzero(kl_M >= wanted)
    if not reached.size or not np.isfinite(wanted):
      found.append((np.nan, np.nan))
      continue
    m = reached[0]
    before = max(m - 1, 0)
    step = kl_M[m] - kl_M[before]
    share = (wanted - kl_M[before]) / step if step > 0 else 1.0
    se = np.hypot((1 - share) * se_M[before], share * se_M[m])
    found.append(((1 - share) * y_M[before] + share * y_M[m], se))
  y_W, se_W = np.array(found).reshape(-1, 2).T
  return y_W, se_W


def equal_kl(multiples, row: dict, name: str) -> dict:
  """The responses of baselines at the KL of each of the feature's doses.

  Args:
    multiples: the doses.
    row: `kl`, `loss` and `share` of a feature, see `stages.analysis.doses`.
    name: the proxy whose share is read.

  Returns:
    For each baseline `share` and `loss`, each with `mean` and `se`, [M].
  """
  multiple_M = np.asarray(multiples, np.float64)
  order = np.argsort(multiple_M)
  order = order[multiple_M[order] > 0]
  wanted_M = np.where(multiple_M > 0, row['kl']['pinned']['mean'], np.nan)
  found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
  for arm in row['kl']:
    if arm == 'pinned':
      continue
    kl_M = np.concatenate([[0.0], row['kl'][arm]['mean'][order]])
    found[arm] = {}
    for key, response in (('share', row['share'][name]), ('loss', row['loss'])):
      zero, own = response['unpinned'], response[arm]
      mean_W, se_W = at_kl(
        kl_M,
        np.concatenate([[zero['mean']], own['mean'][order]]),
        np.concatenate([[zero['se']], own['se'][order]]),
        wanted_M,
      )
      found[arm][key] = {'mean': mean_W, 'se': se_W}
  return found


def at_dose(dose: float, multiples, row: dict, name: str) -> dict | None:
  """All arms at one dose: at equal norm, and at the KL of the feature.

  Args:
    dose: the dose.
    multiples, name: as for `equal_kl`.
    row: as for `equal_kl`, with its result in `equal_kl`.

  Returns:
    None if the dose is not among the multiples. Otherwise `kl` of the feature;
    `share` and `loss` by arm; and `share_at_equal_kl` and `loss_at_equal_kl` by
    baseline. Each has its `mean` and `interval`, 1.96 standard errors to both
    sides.
  """
  if dose not in multiples:
    return None
  m = list(multiples).index(dose)

  def of(response: dict) -> dict:
    mean, error = float(response['mean'][m]), 1.96 * float(response['se'][m])
    # Shares and losses are not negative.
    return {'mean': mean, 'interval': [max(mean - error, 0.0), mean + error]}

  return {
    'kl': float(row['kl']['pinned']['mean'][m]),
    'share': {arm: of(row['share'][name][arm]) for arm in row['kl']},
    'loss': {arm: of(row['loss'][arm]) for arm in row['kl']},
    'share_at_equal_kl': {
      arm: of(x['share']) for arm, x in row['equal_kl'].items()
    },
    'loss_at_equal_kl': {
      arm: of(x['loss']) for arm, x in row['equal_kl'].items()
    },
  }
