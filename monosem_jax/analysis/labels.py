"""Features against labels of tokens: proxies, or subsets of the corpus.

As the paper (feature deep dives) asks of a feature and its proxy: whether it is
specific (where it fires, is the proxy on?), sensitive (where the proxy is on,
does it fire?), and no neuron (is the best neuron's correlation far lower?).
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.features.moments import Moments, adding, correlation


@flax.struct.dataclass
class Overlap:
  """Of K pairs of a feature and a label: sums over tokens.

  Bin 0 holds the tokens on which the feature is silent, bin i those in its i-th
  interval of activation.

  Attributes:
    on_KB, off_KB: tokens that have the label, and that have not.
    mass_on_KB, mass_off_KB: the sum of the activations on them.
  """

  on_KB: jax.Array
  off_KB: jax.Array
  mass_on_KB: jax.Array
  mass_off_KB: jax.Array


def make_step(pair: Callable, edges_KI: np.ndarray) -> Callable:
  """Compiles `step(overlap, args, batch) -> overlap`, see `moments.adding`.

  Args:
    pair: `pair(args, batch) -> (f_NK, on_NK)`, the activations of each pair's
      feature and whether the token has its label, bool.
    edges_KI: the lower edges of the intervals, rising, the first 0. An
      activation on an edge is in the interval below; the last one is open.
  """

  def of(args, batch) -> Overlap:
    f_NK, on_NK = pair(args, batch)
    edges = jnp.asarray(edges_KI, f_NK.dtype)
    bins = jnp.arange(edges.shape[1] + 1, dtype=jnp.int32)
    bin_NK = (f_NK[..., None] > edges).sum(-1, dtype=jnp.int32)
    here_NKB = bin_NK[..., None] == bins

    def sums(is_NK):
      both_NKB = here_NKB & is_NK[..., None]
      mass_NKB = jnp.where(both_NKB, f_NK[..., None], 0)
      return both_NKB.sum(0, dtype=jnp.int32), mass_NKB.sum(0)

    (on_KB, mass_on_KB), (off_KB, mass_off_KB) = sums(on_NK), sums(~on_NK)
    return Overlap(on_KB, off_KB, mass_on_KB, mass_off_KB)

  return adding(of)


def specificity(o: Overlap) -> np.ndarray:
  """Share of each bin's tokens that have the label, [K, B]; NaN of none."""
  return _share(o.on_KB, o.on_KB + o.off_KB)


def expected_value(o: Overlap) -> tuple[np.ndarray, np.ndarray]:
  """Share of the activation in each bin, with the label and without, [K, B].

  The paper's expected value plot, a histogram weighted by activation: all
  shares of a feature add up to 1. NaN of one that never fires.
  """
  total_K1 = (o.mass_on_KB + o.mass_off_KB).sum(1, keepdims=True)
  return _share(o.mass_on_KB, total_K1), _share(o.mass_off_KB, total_K1)


def sensitivity(o: Overlap) -> tuple[np.ndarray, np.ndarray]:
  """How much of the label the feature finds, and how much of it the label is.

  Returns:
    The share of the label's tokens on which the feature fires, [K], and the
    share of the feature's activation that is on them, [K]; NaN of none.
  """
  mass_on_K, mass_off_K = o.mass_on_KB.sum(1), o.mass_off_KB.sum(1)
  return (
    _share(o.on_KB[:, 1:].sum(1), o.on_KB.sum(1)),
    _share(mass_on_K, mass_on_K + mass_off_K),
  )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
  return part / np.where(whole > 0, whole, np.nan)


def make_ranks(activations: Callable, labels: int, bins: int) -> Callable:
  """Compiles `step(counts, args, batch) -> counts`, for `auc`.

  Args:
    activations: `activations(args, batch) -> (f_NF, label_N, max_F)`: the
      activations, which of the labels (exclusive ones, such as subsets) each
      token has, and what counts as each feature's largest activation.
    labels: how many there are.
    bins: of the activations above 0, even ones up to the largest.

  Returns:
    See `moments.adding`; count_LFB, tokens by label, feature and bin; bin 0
    holds those on which the feature is silent. The memory is that of
    `labels` x F x (`bins` + 1) numbers, twice.
  """

  def of(args, batch):
    f_NF, label_N, max_F = activations(args, batch)
    F, B = f_NF.shape[1], bins + 1
    share_NF = f_NF / jnp.where(max_F > 0, max_F, 1)
    bin_NF = 1 + jnp.minimum((share_NF * bins).astype(jnp.int32), bins - 1)
    bin_NF = jnp.where(f_NF > 0, bin_NF, 0)
    row_NF = label_N[:, None] * F + jnp.arange(F, dtype=jnp.int32)
    count = jnp.bincount(
      (row_NF * B + bin_NF).reshape(-1), length=labels * F * B
    )
    return count.reshape(labels, F, B)

  return adding(of)


def auc(count_LFB: np.ndarray) -> np.ndarray:
  """How well each feature ranks the tokens of a label above all others, [L, F].

  The area under the ROC curve: the chance that of two tokens, one with the
  label and one without, the first has the larger activation; a tie, or two in
  one bin, counts half. 1/2 for a feature that says nothing. NaN for a label
  that no token has, or every token.
  """
  on_LFB = np.asarray(count_LFB, np.float64)
  off_LFB = on_LFB.sum(0) - on_LFB
  below_LFB = np.cumsum(off_LFB, 2) - off_LFB
  wins_LF = (on_LFB * (below_LFB + off_LFB / 2)).sum(2)
  return _share(wins_LF, on_LFB.sum(2) * off_LFB.sum(2))


@dataclasses.dataclass(frozen=True)
class Best:
  """The feature most correlated with a label on one half of the tokens.

  Attributes:
    index: of the feature.
    found: Pearson's r on the half where it was looked for.
    reported: on the other half.
  """

  index: int
  found: float
  reported: float


def best(found: Moments, reported: Moments) -> list[Best | None]:
  """The best feature (or neuron) of each label.

  Args:
    found: moments of features X with labels Y, of the half that is searched.
    reported: of the other half.

  Returns:
    One for each label; None where it does not vary in one of the halves, or no
    feature goes with it.
  """
  r_XY, other_XY = correlation(found), correlation(reported)
  return [
    Best(int(x), float(r_XY[x, y]), float(other_XY[x, y]))
    if r_XY[x, y] > 0 and other_XY[:, y].any()
    else None
    for y, x in enumerate(r_XY.argmax(0))
  ]
