"""Whether another model has the same features (paper, on universality).

Three similarities of a feature of one dictionary and one of another, which may
belong to another transformer on the same tokens:

  activation   Pearson's correlation of the activations over tokens
  logits       ... of the logit weights over the vocabulary
  attribution  ... over tokens, of the activation times the logit weight of the
               token that comes next (logit weights with their median at 0)

All are correlations of two sets over something, and are summed up as
`features.moments`: here is what is put in.
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.dictionary.sae import SAE, encode
from monosem_jax.precision import Dot


@flax.struct.dataclass
class Side:
  """A dictionary, and what it reads and writes; arrays, passed into programs.

  Attributes:
    lm: its transformer.
    sae: the dictionary.
    rows_FD: its decoder as W_U reads it (`Transformer.read_out`).
    median_F: of each feature's logit weights over the vocabulary.
  """

  lm: object
  sae: SAE
  rows_FD: jax.Array
  median_F: jax.Array


def side(lm, sae: SAE, block: int = 256) -> Side:
  """Makes a side; logit weights are held for so many features at a time."""
  rows_FD = jax.jit(lambda lm, x: lm.read_out(x))(lm, sae.W_dec_FA)
  median = jax.jit(
    lambda lm, rows_FD: jnp.median(
      lm.dot('fd,dv->fv', rows_FD, lm.W_U_DV[...]), axis=1
    )
  )
  medians = [
    median(lm, rows_FD[i : i + block]) for i in range(0, len(rows_FD), block)
  ]
  return Side(lm, sae, rows_FD, jnp.concatenate(medians))


def activations(
  forward: Callable[..., jax.Array], dot: Dot, s: Side, tokens_BT: jax.Array
) -> jax.Array:
  """f_NF of all tokens but the last of each context, behind which is none."""
  acts_BTA = forward(s.lm, tokens_BT)[:, :-1]
  x_NA = acts_BTA.reshape(-1, acts_BTA.shape[-1])
  return encode(s.sae, x_NA.astype(s.sae.b_enc_F.dtype), dot)


def attributions(
  forward: Callable[..., jax.Array], dot: Dot, s: Side, tokens_BT: jax.Array
) -> jax.Array:
  """f_i(t_j) times the logit weight of t_{j+1}, of the same tokens: a_NF."""
  f_NF = activations(forward, dot, s, tokens_BT)
  next_N = tokens_BT[:, 1:].reshape(-1)
  # Of the logit weights only the columns of tokens that come next are made.
  W_ND = s.lm.W_U_DV[...].T[next_N]
  return f_NF * (dot('nd,fd->nf', W_ND, s.rows_FD) - s.median_F)


def logit_weights(dot: Dot, s: Side, ids_N: jax.Array) -> jax.Array:
  """The logit weights of some tokens, as if these were what is summed over."""
  return dot('nd,fd->nf', s.lm.W_U_DV[...].T[ids_N], s.rows_FD)


def pair(of: Callable) -> Callable:
  """For `features.moments.make_step`: `of(side, batch)` on both sides."""
  return lambda sides, batch: (of(sides[0], batch), of(sides[1], batch))


@dataclasses.dataclass(frozen=True)
class Nearest:
  """For every feature of the first set the nearest of the second.

  Attributes:
    index_X: which; -1 where no other correlates with it.
    r_X: how similar; NaN there.
  """

  index_X: np.ndarray
  r_X: np.ndarray

  def median(self, live_X: np.ndarray) -> float | None:
    """Over the features that are live; None if there is none."""
    found = self.r_X[live_X & (self.index_X >= 0)]
    return float(np.median(found)) if found.size else None


def nearest(r_XY: np.ndarray, live_Y: np.ndarray) -> Nearest:
  """The live feature of the second set that correlates most with each."""
  r_XY = np.where(live_Y, r_XY, -np.inf)
  index_X = r_XY.argmax(1)
  r_X = np.take_along_axis(r_XY, index_X[:, None], 1)[:, 0]
  # A correlation of exactly 0 is one with a constant.
  none_X = ~np.isfinite(r_X) | (r_X == 0)
  return Nearest(np.where(none_X, -1, index_X), np.where(none_X, np.nan, r_X))
