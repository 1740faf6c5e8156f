"""How well features rank the tokens of a label above all others.

Three measures of what a feature alone tells of a label, all of how many tokens
with the label, and without, lie in each interval of its activation. Bin 0 holds
the tokens on which it is silent, bin i those in its i-th interval; tokens of
one bin are ties. On what is binned so the measures are exact.

The paper has none of them (ours). The area under the ROC curve of a feature
that hardly ever fires is about (1 + sensitivity - false positive rate) / 2:
ties on silent tokens decide it, and a neuron that fires often beats the feature
beforehand. Average precision and F1 ask of those tokens alone that have the
label, or on which the feature fires.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.mesh import SPECS, constrain
from monosem_jax.device.precision import Dot
from monosem_jax.features.moments import adding


def edges(max_F: np.ndarray, intervals: int) -> np.ndarray:
  """Lower edges of even intervals of activation up to a maximum, [F, I].

  The first is 0. Of a maximum of 0 all edges are next to it, so that whatever
  fires is in the last interval.
  """
  largest_F = np.maximum(np.asarray(max_F, np.float64), 1e-6)
  found_FI = largest_F[:, None] * np.arange(intervals) / intervals
  return found_FI.astype(np.float32)


def make_ranks(activations: Callable, dot: Dot) -> Callable:
  """Compiles `step(counts, args, batch) -> counts`, see `moments.adding`.

  Args:
    activations: `activations(args, batch) -> (f_NF, on_NL, edges_FI)`: the
      activations, whether each token has each of the labels, bool, and the
      lower edges of the intervals of each feature, rising, the first 0. An
      activation on an edge is in the interval below; the last one is open.
    dot: the matrix product. Of zeros and ones it is exact in any precision.

  Returns:
    The counts are count_LFB, int32, with B = I + 1 bins and one label more, the
    last, which all tokens have; see `parts`.
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
  """Tokens with each label and without, [L - 1, F, B], of what was counted."""
  on_LFB = np.asarray(count_LFB[:-1], np.float64)
  return on_LFB, count_LFB[-1:] - on_LFB


def auc(on_XB: np.ndarray, off_XB: np.ndarray) -> np.ndarray:
  """The area under the ROC curve, [...].

  The chance that of two tokens, one with the label and one without, the first
  has the larger activation; a tie counts half. 1/2 for a feature that says
  nothing. NaN for a label that no token has, or every token.

  Args:
    on_XB, off_XB: tokens with the label, and without, by bin, [..., B].
  """
  below_XB = np.cumsum(off_XB, -1) - off_XB
  wins_X = (on_XB * (below_XB + off_XB / 2)).sum(-1)
  return _share(wins_X, on_XB.sum(-1) * off_XB.sum(-1))


def average_precision(on_XB: np.ndarray, off_XB: np.ndarray) -> np.ndarray:
  """The mean precision at which the tokens of a label are found, [...].

  The sum over thresholds, falling, of precision times what recall gains there;
  the last takes in all tokens. The label's share of tokens (its base rate) for
  a feature that says nothing. NaN for a label that no token has.

  Args:
    on_XB, off_XB: as of `auc`.
  """
  found_XB, taken_XB = _from_above(on_XB), _from_above(on_XB + off_XB)
  precision_XB = found_XB / np.maximum(taken_XB, 1)
  return _share((on_XB * precision_XB).sum(-1), on_XB.sum(-1))


def f1(on_XB: np.ndarray, off_XB: np.ndarray) -> np.ndarray:
  """F1 of "the activation is above the i-th edge" as a guess, [..., B - 1].

  The harmonic mean of precision and recall. That every token has the label is
  no guess of the feature's and left out. NaN for a label that no token has.

  Args:
    on_XB, off_XB: as of `auc`.
  """
  found_XI = _from_above(on_XB)[..., 1:]
  taken_XI = _from_above(on_XB + off_XB)[..., 1:]
  all_X1 = on_XB.sum(-1)[..., None]
  return np.where(
    all_X1 > 0, 2 * found_XI / np.maximum(taken_XI + all_X1, 1), np.nan
  )


def _from_above(count_XB: np.ndarray) -> np.ndarray:
  """How many in each bin and those above it."""
  return np.cumsum(count_XB[..., ::-1], -1)[..., ::-1]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  return part / np.where(whole > 0, whole, np.nan)
