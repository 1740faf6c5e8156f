"""Features compared with labels of tokens: proxies, or subsets of the corpus.

As in the paper (feature deep dives), the questions about a feature and its
proxy are whether the feature is specific (is the proxy on where it fires?) and
sensitive (does it fire where the proxy is on?), and whether the best neuron's
correlation with the proxy is far lower.
"""

import math
from collections.abc import Callable
from typing import Generic, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from monosem_jax.analysis.results.proxies import Best
from monosem_jax.features.moments import Moments, adding, correlation

# Arrays on the devices, or on the host.
Array = TypeVar('Array', jax.Array, np.ndarray)


@flax.struct.dataclass
class Overlap(Generic[Array]):
  """Sums over tokens for K pairs of a feature and a label, by B bins.

  Bin 0 holds the tokens on which the feature is silent; bin i holds those in
  its i-th interval of activation. With G groups of tokens, arrays have a
  leading axis of size G.

  Attributes:
    on_KB: number of tokens with the label.
    off_KB: number of tokens without the label.
    mass_on_KB: sum of the activations on tokens with the label.
    mass_off_KB: sum of the activations on tokens without the label.
    square_K: sum of the squared activations on all tokens.
  """

  on_KB: Array
  off_KB: Array
  mass_on_KB: Array
  mass_off_KB: Array
  square_K: Array


def make_step(
  pair: Callable, edges_KI: np.ndarray, groups: int | None = None
) -> Callable:
  """Compiles `step(overlap, args, batch) -> overlap`, see `moments.adding`.

  Args:
    pair: `pair(args, batch) -> (f_NK, on_NK)`, the activations of each pair's
      feature and whether the token has its label, bool. With groups it also
      returns group_N, the group of each token, int32.
    edges_KI: lower edges of the intervals, ascending, starting with 0. An
      activation on an edge belongs to the interval below; the last interval is
      open.
    groups: G, the number of groups with sums of their own; None for no groups.
  """

  def of(args, batch) -> Overlap[jax.Array]:
    f_NK, on_NK, *group = pair(args, batch)
    edges = jnp.asarray(edges_KI, f_NK.dtype)
    G, (K, B) = groups or 1, (edges.shape[0], edges.shape[1] + 1)
    group_N = group[0] if groups else jnp.zeros(len(f_NK), jnp.int32)
    bin_NK = (f_NK[..., None] > edges).sum(-1, dtype=jnp.int32)
    pair_NK = group_N[:, None] * K + jnp.arange(K, dtype=jnp.int32)
    row_NK = (pair_NK * 2 + on_NK.astype(jnp.int32)) * B + bin_NK
    lead = (G, K) if groups else (K,)

    def sums(value_NK, at_NK, *shape):
      total = jax.ops.segment_sum(
        value_NK.reshape(-1), at_NK.reshape(-1), math.prod((G, K, *shape))
      )
      return total.reshape(*lead, *shape)

    count = sums(jnp.ones_like(row_NK), row_NK, 2, B)
    mass = sums(f_NK, row_NK, 2, B)
    return Overlap(
      count[..., 1, :],
      count[..., 0, :],
      mass[..., 1, :],
      mass[..., 0, :],
      sums(jnp.square(f_NK), pair_NK),
    )

  return adding(of)


def specificity(o: Overlap[np.ndarray]) -> np.ndarray:
  """Share of each bin's tokens with the label, [K, B]; NaN for empty bins."""
  return _share(o.on_KB, o.on_KB + o.off_KB)


def expected_value(o: Overlap[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Share of the activation in each bin, with the label and without, [K, B].

  This is the paper's expected value plot, a histogram weighted by activation.
  The shares of a feature add up to 1; they are NaN if it never fires.
  """
  total_K1 = (o.mass_on_KB + o.mass_off_KB).sum(-1, keepdims=True)
  return _share(o.mass_on_KB, total_K1), _share(o.mass_off_KB, total_K1)


def sensitivity(o: Overlap[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """How much of the label a feature finds, and how much of the feature that is.

  Returns:
    The share of the label's tokens on which the feature fires, [K], and the
    share of the feature's activation on the label's tokens, [K]. They are NaN
    without such tokens or activation.
  """
  mass_on_K, mass_off_K = o.mass_on_KB.sum(-1), o.mass_off_KB.sum(-1)
  return (
    _share(o.on_KB[..., 1:].sum(-1), o.on_KB.sum(-1)),
    _share(mass_on_K, mass_on_K + mass_off_K),
  )


def base_rate(o: Overlap[np.ndarray]) -> np.ndarray:
  """Share of all tokens with the label, [K]."""
  on_K = o.on_KB.sum(-1)
  return _share(on_K, on_K + o.off_KB.sum(-1))


def pearson(o: Overlap[np.ndarray]) -> np.ndarray:
  """Pearson correlation of activation and label, [K]; NaN for constants."""
  tokens_K = o.on_KB.sum(-1) + o.off_KB.sum(-1)
  on_K, mass_on_K = base_rate(o), o.mass_on_KB.sum(-1) / tokens_K
  mean_K = mass_on_K + o.mass_off_KB.sum(-1) / tokens_K
  square_K = o.square_K / tokens_K
  variance_K = np.asarray(square_K - mean_K**2)
  # A variance below rounding error belongs to a constant.
  variance_K = np.where(variance_K > 1e-6 * square_K, variance_K, 0)
  return _share(
    mass_on_K - mean_K * on_K, np.sqrt(variance_K * on_K * (1 - on_K))
  )


def _share(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
  total = np.asarray(whole, np.float64)
  return np.asarray(part, np.float64) / np.where(total > 0, total, np.nan)


def best(found: Moments, reported: Moments) -> list[Best | None]:
  """The best feature (or neuron) of each label.

  Args:
    found: moments of features X with labels Y, on the half that is searched.
    reported: the same on the other half.

  Returns:
    One entry per label; None if the label does not vary in one of the halves,
    or no feature correlates with it.
  """
  r_XY, other_XY = correlation(found), correlation(reported)
  return [
    Best(int(x), float(r_XY[x, y]), float(other_XY[x, y]))
    if r_XY[x, y] > 0 and other_XY[:, y].any()
    else None
    for y, x in enumerate(r_XY.argmax(0))
  ]
