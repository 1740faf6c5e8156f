"""How well features rank the tokens of a label above all others.

Three measures of a feature as a classifier of a label: AUC, average precision
and F1. All are computed from the numbers of tokens with and without the label
in each interval of activation. Bin 0 holds the tokens on which the feature is
silent; bin i holds those in its i-th interval. Tokens of one bin are ties, and
apart from that the measures are exact.

The paper has none of them; they are ours. The AUC of a feature that hardly ever
fires is about (1 + sensitivity - false positive rate) / 2. It is decided by
ties on silent tokens, so a neuron that fires often has an advantage. Average
precision and F1 depend only on tokens that have the label or on which the
feature fires.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.mesh import SPECS, constrain
from monosem_jax.device.precision import Dot
from monosem_jax.features.moments import adding


def edges(max_F: np.ndarray, intervals: int) -> np.ndarray:
  """Lower edges of equal intervals of activation up to a maximum, [F, I].

  The first edge is 0. For a maximum of 0 all edges are close to 0, so that any
  activation lies in the last interval.
  """
  largest_F = np.maximum(np.asarray(max_F, np.float64), 1e-6)
  found_FI = largest_F[:, None] * np.arange(intervals) / intervals
  return found_FI.astype(np.float32)


def make_ranks(activations: Callable, dot: Dot) -> Callable:
  """Compiles `step(counts, args, batch) -> counts`, see `moments.adding`.

  Args:
    activations: `activations(args, batch) -> (f_NF, on_NL, edges_FI)`: the
      activations; whether each token has each label, bool; and the lower edges
      of each feature's intervals, ascending, starting with 0. An activation on
      an edge belongs to the interval below; the last interval is open.
    dot: the matrix product, which is exact for zeros and ones in any precision.

  Returns:
    A step that adds up count_LFB, int32, with B = I + 1 bins. An additional
    last label holds for all tokens; see `parts`.
  """

  def of(args, batch) -> jax.Array:
    f_NF, on_NL, edges_FI = activations(args, batch)
    f_NF = constrain(f_NF, SPECS.f_NF)
    every_N1 = jnp.ones((len(f_NF), 1), bool)
    on_NL = jnp.concatenate([on_NL, every_N1], 1).astype(f_NF.dtype)

    def above(edge_F: jax.Array) -> jax.Array:
      beyond_NF = (f_NF > edge_F).astype(f_NF.dtype)
      return dot('nl,nf->lf', on_NL, beyond_NF).astype(jnp.int32)

    above_ILF = jax.lax.map(above, edges_FI.T)
    all_L = on_NL.sum(0).astype(jnp.int32)
    all_1LF = jnp.broadcast_to(all_L[:, None], (1, *above_ILF.shape[1:]))
    tail_BLF = jnp.concatenate([all_1LF, above_ILF])
    next_BLF = jnp.concatenate([above_ILF, jnp.zeros_like(all_1LF)])
    return jnp.moveaxis(tail_BLF - next_BLF, 0, 2)

  return adding(of)


def parts(count_LFB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Numbers of tokens with each label and without it, both [L - 1, F, B]."""
  on_LFB = np.asarray(count_LFB[:-1], np.float64)
  return on_LFB, count_LFB[-1:] - on_LFB


def auc(on_XB: np.ndarray, off_XB: np.ndarray) -> np.ndarray:
  """The area under the ROC curve, [...].

  This is the probability that a token with the label has a larger activation
  than a token without it; ties count half. It is 1/2 for an uninformative
  feature, and NaN for a label that no token or every token has.

  Args:
    on_XB: number of tokens with the label, by bin, [..., B].
    off_XB: number of tokens without the label, by bin, [..., B].
  """
  below_XB = np.cumsum(off_XB, -1) - off_XB
  wins_X = (on_XB * (below_XB + off_XB / 2)).sum(-1)
  return _share(wins_X, on_XB.sum(-1) * off_XB.sum(-1))


def average_precision(on_XB: np.ndarray, off_XB: np.ndarray) -> np.ndarray:
  """The average precision, [...].

  This is the sum over descending thresholds of the precision times the increase
  in recall; the last threshold includes all tokens. It is the label's base rate
  for an uninformative feature, and NaN for a label that no token has.

  Args:
    on_XB, off_XB: as for `auc`.
  """
  found_XB, taken_XB = _from_above(on_XB), _from_above(on_XB + off_XB)
  precision_XB = found_XB / np.maximum(taken_XB, 1)
  return _share((on_XB * precision_XB).sum(-1), on_XB.sum(-1))


def f1(on_XB: np.ndarray, off_XB: np.ndarray) -> np.ndarray:
  """F1 of the classifier "the activation is above the i-th edge", [..., B - 1].

  F1 is the harmonic mean of precision and recall, and NaN for a label that no
  token has. The classifier that accepts every token is left out, since it does
  not depend on the feature.

  Args:
    on_XB, off_XB: as for `auc`.
  """
  found_XI = _from_above(on_XB)[..., 1:]
  taken_XI = _from_above(on_XB + off_XB)[..., 1:]
  all_X1 = on_XB.sum(-1)[..., None]
  return np.where(
    all_X1 > 0, 2 * found_XI / np.maximum(taken_XI + all_X1, 1), np.nan
  )


def _from_above(count_XB: np.ndarray) -> np.ndarray:
  """Cumulative counts of each bin and all bins above it."""
  return np.cumsum(count_XB[..., ::-1], -1)[..., ::-1]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  return part / np.where(whole > 0, whole, np.nan)
