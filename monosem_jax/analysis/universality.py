"""Whether another model has the same features (paper, on universality).

Three similarities of a feature of one dictionary and one of another, which may
belong to another transformer on the same tokens:

  activation   Pearson's correlation of the activations over tokens
  logits       ... of the logit weights over the vocabulary
  attribution  ... over tokens, of the activation times the logit weight of the
               token that comes next (logit weights with their median at 0)

The first and the last are correlations over a stream, and are summed up as
`features.moments`: here is what is put in.
"""

import dataclasses
from collections.abc import Callable, Iterable

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
  rows_FD = _read_out(lm, sae.W_dec_FA)
  medians = [
    _median(lm, rows_FD[i : i + block]) for i in range(0, len(rows_FD), block)
  ]
  return Side(lm, sae, rows_FD, jnp.concatenate(medians))


@jax.jit
def _read_out(lm, rows_FA: jax.Array) -> jax.Array:
  return lm.read_out(rows_FA)


@jax.jit
def _median(lm, rows_FD: jax.Array) -> jax.Array:
  v_FV = lm.dot('fd,dv->fv', rows_FD, lm.W_U_DV[...])
  return jnp.median(v_FV, axis=1)


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


def logit_correlation(
  x: tuple[object, jax.Array], y: tuple[object, jax.Array], block: int = 256
) -> np.ndarray:
  """Of pairs of features, the correlation of their logit weights: r_M.

  Args:
    x, y: a transformer, and the decoder rows at its site, rows_MA.
    block: pairs whose logit weights are held at a time.

  Returns:
    Pearson's r over the vocabulary; 0 for one without an effect.
  """
  (lm_x, rows_x), (lm_y, rows_y) = x, y
  parts = [
    _logit_correlation(lm_x, rows_x[i : i + block], lm_y, rows_y[i : i + block])
    for i in range(0, len(rows_x), block)
  ]
  return np.concatenate([np.zeros(0, np.float32), *map(np.asarray, parts)])


@jax.jit
def _logit_correlation(lm_x, x_MA, lm_y, y_MA) -> jax.Array:
  def unit(lm, rows_MA):
    v_MV = lm.logit_weights(rows_MA)
    v_MV = v_MV - v_MV.mean(1, keepdims=True)
    norm_M1 = jnp.linalg.norm(v_MV, axis=1, keepdims=True)
    return v_MV / jnp.where(norm_M1 > 0, norm_M1, 1)

  return (unit(lm_x, x_MA) * unit(lm_y, y_MA)).sum(1)


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


def nearest(
  blocks: Iterable[tuple[slice, np.ndarray]],
  live_X: np.ndarray,
  live_Y: np.ndarray,
) -> tuple[Nearest, Nearest]:
  """For every feature of each set the live one of the other that correlates
  most with it: from the first set to the second, and back.

  Args:
    blocks: all features of the first set, in order, by blocks: which, and r_nY.
    live_X, live_Y: the features that may be found.
  """
  parts = []
  index_Y, r_Y = np.zeros(live_Y.size, int), np.full(live_Y.size, -np.inf)
  for own, r_nY in blocks:
    parts.append(_best(r_nY, live_Y))
    at_Y, own_r_Y = _best(r_nY.T, live_X[own])
    better_Y = own_r_Y > r_Y
    index_Y = np.where(better_Y, own.start + at_Y, index_Y)
    r_Y = np.where(better_Y, own_r_Y, r_Y)
  there = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
  return _named(*there), _named(index_Y, r_Y)


def _best(
  r_XY: np.ndarray, live_Y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  r_XY = np.where(live_Y, r_XY, -np.inf)
  index_X = r_XY.argmax(1)
  return index_X, np.take_along_axis(r_XY, index_X[:, None], 1)[:, 0]


def _named(index_X: np.ndarray, r_X: np.ndarray) -> Nearest:
  # A correlation of exactly 0 is one with a constant.
  none_X = ~np.isfinite(r_X) | (r_X == 0)
  return Nearest(np.where(none_X, -1, index_X), np.where(none_X, np.nan, r_X))
