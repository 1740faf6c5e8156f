"""Doses that can be compared: as large as one another, or as costly.

A feature that is held at its maximum changes the activations, and so the text;
another direction is a fair baseline only where its change is as large, or costs
the text as much. Here are the rules for both, and the price in fluency.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def matched(
  f_N: np.ndarray, distance_M: np.ndarray, upwards_M: np.ndarray
) -> np.ndarray:
  """The values to hold a unit at so that it moves as far as is asked for.

  The mean of |value - f| over tokens grows from the median of f on, to both
  sides, by straight pieces between the values that f takes. It is least at the
  median, which is the answer where less is asked for.

  Args:
    f_N: what the unit does by itself.
    distance_M: the mean distances wanted.
    upwards_M: whether the value lies above the median, or below.

  Returns:
    value_M.
  """
  f_N = np.asarray(f_N, np.float64)

  def above(f_N: np.ndarray, distance_M: np.ndarray) -> np.ndarray:
    knot_N = np.sort(f_N)
    n = knot_N.size
    below_N = np.cumsum(knot_N)
    rank_N = np.arange(1, n + 1)
    # Of each knot: the sum over those below it, and over those above.
    far_N = rank_N * knot_N - below_N
    far_N += below_N[-1] - below_N - (n - rank_N) * knot_N
    upper = slice((n - 1) // 2, None)
    inside_M = np.interp(distance_M, far_N[upper] / n, knot_N[upper])
    beyond_M = distance_M > far_N[-1] / n
    return np.where(beyond_M, f_N.mean() + distance_M, inside_M)

  return np.where(upwards_M, above(f_N, distance_M), -above(-f_N, distance_M))


@functools.partial(jax.jit, static_argnames=('start',))
def continuation_loss(lm, tokens_BT: jax.Array, *, start: int) -> jax.Array:
  """What a model loses on texts after their prompt, nats per token: loss_B.

  Fluency, if the model is the one that nothing is pinned in: text that it finds
  likely. A text that is longer than the context is judged by windows of it, so
  that half a context at least stands before each token.

  Args:
    lm: the transformer.
    tokens_BT: texts.
    start: tokens of the prompt, one at least.
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
  """A curve of growing doses read at given costs: y_W, and its errors se_W.

  Straight lines between doses; where a curve comes by a cost twice, the lesser
  dose counts. NaN where no dose costs so much.

  Args:
    kl_M: the cost of each dose, the unsteered 0 first.
    y_M, se_M: what it achieves, and the standard error of that.
    wanted_W: the costs.
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
  """What baselines do where they cost as much KL as the feature, by dose.

  Args:
    multiples: the doses.
    row: `kl`, `loss` and `share` of a feature, see `stages.analysis.doses`.
    name: whose share.

  Returns:
    By baseline `share` and `loss`, each of `mean` and `se`, [M].
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
    dose: which; None is the answer if it is not among them.
    multiples, row, name: as of `equal_kl`, which the row has by now.

  Returns:
    `kl`, of the feature; by arm `share` and `loss`, and by baseline
    `share_at_equal_kl` and `loss_at_equal_kl`: `mean` and the `interval` of 95%
    over samples, 1.96 standard errors.
  """
  if dose not in multiples:
    return None
  m = list(multiples).index(dose)

  def of(response: dict) -> dict:
    mean, error = float(response['mean'][m]), 1.96 * float(response['se'][m])
    # Neither a share nor a loss lies below 0.
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
