"""Whether another model has the same features (paper, on universality).

Three similarities of a feature of one dictionary and one of another, which may
belong to another transformer on the same tokens:

  activation   Pearson's correlation of the activations over tokens
  logits       ... of the logit weights over the vocabulary
  attribution  ... over tokens, of the activation times the logit weight of the
               token that comes next (logit weights with their median at 0)

The first and the last are correlations over a stream, and are summed up as
`features.moments`: here is what is put in.

The nearest of many is the best of as many guesses: where two dictionaries have
nothing in common, it still has a correlation above 0. So it is found on one
half of the documents, and its correlation is that on the other.
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

# Our borders: pairs are alike in activations above the first, and apart in
# logit weights below the second. The paper shows one pair that is both, `pone`:
# A/1/3949 and B/1/3321, 0.98 and below 0.
ALIKE, APART = 0.8, 0.2


@flax.struct.dataclass
class Side:
  """A dictionary, and what it reads and writes; arrays, passed into programs.

  Attributes:
    lm: its transformer.
    sae: the dictionary.
    rows_FD: its decoder as W_U reads it (`Transformer.read_out`).
    median_F: of each feature's logit weights over the vocabulary.
  """

  lm: Any
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
  """f_NF of all tokens but the last of each context."""
  acts_BTA = forward(s.lm, tokens_BT)[:, :-1]
  x_NA = rows_of(acts_BTA)
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
  """The correlation of the logit weights of pairs of features: r_M.

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
    index_X: which, found on one half; -1 where no other correlates with it
      there, or one of the two does not vary on the other half.
    found_X: how similar, on the half where it was found; NaN there.
    r_X: on the other half; NaN there.
  """

  index_X: np.ndarray
  found_X: np.ndarray
  r_X: np.ndarray


Sets = Mapping[str, tuple[np.ndarray, np.ndarray]]


def nearest(
  blocks: Iterable[tuple[slice, np.ndarray, np.ndarray]], sets: Sets
) -> dict[str, tuple[Nearest, Nearest]]:
  """For every feature of each side the one of the other that correlates most
  with it: from the first side to the second, and back.

  Args:
    blocks: all features of the first side, in order, by blocks: which, and r_nY
      on the half that is searched, and on the other.
    sets: by name, the features of both sides that may be found: own_X, own_Y.

  Returns:
    By the names of the sets.
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
  # A correlation of exactly 0 is one with a constant.
  none_X = ~np.isfinite(found_X) | (found_X == 0) | (r_X == 0)

  def of(x: np.ndarray, none: float) -> np.ndarray:
    return np.where(none_X, none, x)

  return Nearest(of(index_X, -1), of(found_X, np.nan), of(r_X, np.nan))
