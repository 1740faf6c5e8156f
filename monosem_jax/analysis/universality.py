"""Whether another model has the same features (paper, universality).

There are three similarities between features of two dictionaries, which may
belong to different transformers with the same tokens:

  activation   Pearson correlation of the activations over tokens
  logits       Pearson correlation of the logit weights over the vocabulary
  attribution  Pearson correlation of the attributions over tokens: activation
               times the next token's logit weight, minus the median weight

The first and the last are correlations over a stream. This module computes
their terms, and `features.moments` adds them up.

The nearest of many features has a positive correlation even if two dictionaries
have nothing in common. So it is chosen on one half of the documents, and its
correlation is reported on the other half.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode, rows_of

# Our thresholds: pairs have similar activations above the first, and different
# logit weights below the second. The paper shows one pair with both, `pone`:
# A/1/3949 and B/1/3321, with 0.98 and a negative correlation.
ALIKE, APART = 0.8, 0.2


@flax.struct.dataclass
class Side:
  """A dictionary with its transformer, as arrays that compiled programs take.

  Attributes:
    lm: the transformer.
    sae: the dictionary.
    rows_FD: decoder rows as W_U reads them (`Transformer.read_out`).
    median_F: median of each feature's logit weights over the vocabulary.
  """

  lm: Any
  sae: SAE
  rows_FD: jax.Array
  median_F: jax.Array


def side(lm, sae: SAE, block: int = 256) -> Side:
  """Makes a side; holds the logit weights of `block` features at a time."""
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
  """f_NF of all tokens except the last of each context."""
  acts_BTA = forward(s.lm, tokens_BT)[:, :-1]
  x_NA = rows_of(acts_BTA)
  return encode(s.sae, x_NA.astype(s.sae.b_enc_F.dtype), dot)


def attributions(
  forward: Callable[..., jax.Array], dot: Dot, s: Side, tokens_BT: jax.Array
) -> jax.Array:
  """Attributions f_i(t_j) times the logit weight of t_{j+1}, [N, F].

  The tokens t_j are those of `activations`.
  """
  f_NF = activations(forward, dot, s, tokens_BT)
  next_N = tokens_BT[:, 1:].reshape(-1)
  # Only the logit weights of next tokens are computed.
  W_ND = s.lm.W_U_DV[...].T[next_N]
  return f_NF * (dot('nd,fd->nf', W_ND, s.rows_FD) - s.median_F)


def logit_correlation(
  x: tuple[object, jax.Array], y: tuple[object, jax.Array], block: int = 256
) -> np.ndarray:
  """The correlation of the logit weights of M pairs of features: r_M.

  Args:
    x: a transformer, and decoder rows of its site, rows_MA.
    y: the same for the other feature of each pair.
    block: number of pairs whose logit weights are held at a time.

  Returns:
    Pearson correlation over the vocabulary; 0 for features without an effect.
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
  """`of(side, batch)` on both sides, for `features.moments.make_step`."""
  return lambda sides, batch: (of(sides[0], batch), of(sides[1], batch))


@dataclasses.dataclass(frozen=True)
class Nearest:
  """The nearest feature in the second set for each feature of the first.

  Attributes:
    index_X: its index, chosen on one half. It is -1 if no feature correlates on
      that half, or if one of the two is constant on the other half.
    found_X: correlation on the half that was searched; NaN without a nearest.
    r_X: correlation on the other half; NaN without a nearest.
  """

  index_X: np.ndarray
  found_X: np.ndarray
  r_X: np.ndarray


# By name, which features of the first and of the second side take part, bool.
Sets = Mapping[str, tuple[np.ndarray, np.ndarray]]


def nearest(
  blocks: Iterable[tuple[slice, np.ndarray, np.ndarray]], sets: Sets
) -> dict[str, tuple[Nearest, Nearest]]:
  """Finds the most correlated feature of the other side, in both directions.

  Args:
    blocks: blocks of the first side's features, in order: the block, r_nY on
      the half that is searched, and r_nY on the other half.
    sets: features that may be found, own_X and own_Y, by name.

  Returns:
    For each set, the nearest of the second side for each feature of the first,
    and the reverse.
  """
  there: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in sets}
  back: dict[str, tuple[np.ndarray, ...]] = {
    name: (
      np.zeros(own_Y.size, int),
      np.full(own_Y.size, -np.inf),
      np.zeros(own_Y.size),
    )
    for name, (_, own_Y) in sets.items()
  }
  for own, found_nY, r_nY in blocks:
    for name, (own_X, own_Y) in sets.items():
      there[name].append(_best(found_nY, r_nY, own_Y))
      at_Y, *r = _best(found_nY.T, r_nY.T, own_X[own])
      better_Y = r[0] > back[name][1]
      back[name] = tuple(
        np.where(better_Y, new, old)
        for new, old in zip((own.start + at_Y, *r), back[name], strict=True)
      )
  return {
    name: (
      _named(*map(np.concatenate, zip(*there[name], strict=True))),
      _named(*back[name]),
    )
    for name in sets
  }


def _best(
  found_XY: np.ndarray, r_XY: np.ndarray, own_Y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  found_XY = np.where(own_Y, found_XY, -np.inf)
  index_X1 = found_XY.argmax(1)[:, None]
  at = lambda x_XY: np.take_along_axis(x_XY, index_X1, 1)[:, 0]
  return index_X1[:, 0], at(found_XY), at(r_XY)


def _named(
  index_X: np.ndarray, found_X: np.ndarray, r_X: np.ndarray
) -> Nearest:
  # A correlation of exactly 0 means that one of the two is constant.
  none_X = ~np.isfinite(found_X) | (found_X == 0) | (r_X == 0)

  def of(x: np.ndarray, none: float) -> np.ndarray:
    return np.where(none_X, none, x)

  return Nearest(of(index_X, -1), of(found_X, np.nan), of(r_X, np.nan))
