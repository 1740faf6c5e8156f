"""What a transformer says while features are held at a value ("pinned").

As the paper (feature deep dives, downstream effects): x <- x + sum over the
pinned features k of (value_k - f_k(x)) d_k. This is x + decode(f pinned) -
decode(f): what the dictionary leaves unexplained stays, and of its features
only the pinned ones have to be computed.

Our choices where the paper is silent: all positions are pinned, the prompt's
too, and a feature's maximum is the largest activation of the features pass.
Multiples of it may lie in [-10, 10], as "Scaling Monosemanticity" (2024) found;
what lies beyond makes gibberish.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode, rows_of

# The paper's prefix.
PROMPT = '1,2,3,4,5,6,7,8,9,10'
# Tokens that a feature raises most, whose odds are looked at.
TOP = 10
# A few rows cost nothing, and a value is to be what was asked for.
_DOT = Dot(jnp.dtype(jnp.float32))


@flax.struct.dataclass
class Pins:
  """K pinned features; arrays, passed into programs.

  Attributes:
    W_enc_KA, b_enc_K: f = ReLU(x W_enc^T + b_enc); the decoder bias, which
      encoders of the paper take off x first, is folded into b_enc.
    W_dec_KA: what each unit of a feature adds to x.
    value_K: what the features are held at.
  """

  W_enc_KA: jax.Array
  b_enc_K: jax.Array
  W_dec_KA: jax.Array
  value_K: jax.Array


def pins(sae: SAE, feature_K: jax.Array, value_K: jax.Array) -> Pins:
  """Pins features of a dictionary; those of several can be concatenated."""
  W_enc_KA = sae.W_enc_AF[:, feature_K].T
  return Pins(
    W_enc_KA=W_enc_KA,
    b_enc_K=sae.b_enc_F[feature_K] - _DOT('a,ka->k', sae.b_dec_A, W_enc_KA),
    W_dec_KA=sae.W_dec_FA[feature_K],
    value_K=value_K.astype(sae.b_enc_F.dtype),
  )


def none(slots: int, width: int) -> Pins:
  """So many places for pins of activations of that width, all of them empty.

  A pin of zeros changes nothing, so that texts with few pins and with many run
  through one program.
  """
  rows_KA: Any = np.zeros((slots, width), np.float32)
  zero_K: Any = np.zeros(slots, np.float32)
  return Pins(rows_KA, zero_K, rows_KA, zero_K)


@jax.jit
def put(
  held: Pins,
  sae: SAE,
  feature_K: jax.Array,
  value_K: jax.Array,
  own_K: jax.Array,
) -> Pins:
  """Pins features of a dictionary in those places that are its own, bool."""
  found = pins(sae, feature_K, value_K)

  def choose(x, y):
    return jnp.where(own_K.reshape(-1, *[1] * (x.ndim - 1)), x, y)

  return jax.tree.map(choose, found, held)


def strength(pins: Pins, acts_BTA: jax.Array) -> jax.Array:
  """How strongly features fire by themselves: f_NK, before they are pinned."""
  own = SAE(
    W_enc_AF=pins.W_enc_KA.T,
    b_enc_F=pins.b_enc_K,
    W_dec_FA=pins.W_dec_KA,
    b_dec_A=jnp.zeros_like(pins.W_dec_KA[0]),
  )
  return encode(own, rows_of(acts_BTA), _DOT)


def patch(pins: Pins, acts_BTA: jax.Array) -> jax.Array:
  """The activations with features pinned at all positions.

  For a transformer's `patch`. Without a pin they are what they were, and the
  program around them is.
  """
  if not pins.value_K.size:
    return acts_BTA
  change_NK = pins.value_K - strength(pins, acts_BTA)
  added_NA = _DOT('nk,ka->na', change_NK, pins.W_dec_KA)
  return acts_BTA + added_NA.reshape(acts_BTA.shape)


def patch_each(pins: Pins, acts_BTA: jax.Array) -> jax.Array:
  """`patch` with pins of its own for each row: arrays with an axis B first."""
  return jax.vmap(lambda own, x_TA: patch(own, x_TA[None])[0])(pins, acts_BTA)


def log_odds(logits_BTV: jax.Array, set_k: jax.Array) -> jax.Array:
  """log p - log(1 - p) of the next token being one of a set, [B, T]."""
  inside_V = jnp.zeros(logits_BTV.shape[-1], bool).at[set_k].set(True)
  of = lambda where_V: jax.nn.logsumexp(
    jnp.where(where_V, logits_BTV, -jnp.inf), axis=-1
  )
  return of(inside_V) - of(~inside_V)


def direction(added_A: np.ndarray) -> Pins:
  """A pin that adds a direction to every position, whatever is there.

  It fires nowhere, so that its value is the multiple of the direction added.
  """
  row_KA: Any = np.asarray(added_A, np.float32)[None]
  return dataclasses.replace(none(1, row_KA.shape[1]), W_dec_KA=row_KA)


def along(own: Pins, row_A: np.ndarray) -> Pins:
  """The change that a pinned feature makes, along another row.

  At each position of the same sign and norm: what a feature's own direction
  does, apart from when it is off and by how much it is turned up.
  """
  norm = lambda x_KA: np.linalg.norm(x_KA, axis=1, keepdims=True)
  row_KA = np.asarray(row_A, np.float32)[None]
  along_KA: Any = row_KA * (norm(own.W_dec_KA) / norm(row_KA))
  return dataclasses.replace(own, W_dec_KA=along_KA)


def at_values(arms: Sequence[Pins], value_LM: np.ndarray) -> Pins:
  """Pins of one feature each, at M values: arrays with axes L and M first."""
  L, M = value_LM.shape
  stacked = jax.tree.map(lambda *x: np.stack(x)[:, None], *arms)
  many = jax.tree.map(lambda x: x.repeat(M, 1), stacked)
  value_LMK = np.asarray(value_LM, np.float32).reshape(L, M, 1)
  return many.replace(value_K=value_LMK)


@jax.jit
def strengths(lm, pins: Pins, tokens_CT: jax.Array) -> jax.Array:
  """`strength` on all tokens of some contexts: f_NK."""
  return strength(pins, lm.residual(tokens_CT)[1])


@jax.jit
def effects(
  lm, held_P: Pins, tokens_CT: jax.Array, set_k: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """What pins do to the next token, and how large a change they are.

  Args:
    lm: the transformer.
    held_P: P of them, with an axis P first.
    tokens_CT: contexts; all is a mean over the positions of one.
    set_k: tokens.

  Returns:
    The log-odds of the next token being one of the set, unpinned: [C]. And of
    each pin, [P, C]: `log_odds`; `kl`, KL(unpinned || pinned) of the next
    token's distribution, in nats; `norm`, the L2 norm of the change of the
    activations.
  """
  clean_CTV = lm(tokens_CT)[0]
  clean_CTV = jax.nn.log_softmax(clean_CTV)

  def of(own: Pins) -> dict[str, jax.Array]:
    logits_CTV, acts_CTA = lm(tokens_CT, functools.partial(patch, own))
    lost_CTV = clean_CTV - jax.nn.log_softmax(logits_CTV)
    change_CTA = patch(own, acts_CTA) - acts_CTA
    return {
      'log_odds': log_odds(logits_CTV, set_k).mean(1),
      'kl': (jnp.exp(clean_CTV) * lost_CTV).sum(-1).mean(1),
      'norm': jnp.linalg.norm(change_CTA, axis=-1).mean(1),
    }

  return log_odds(clean_CTV, set_k).mean(1), jax.lax.map(of, held_P)


@jax.jit
def top(lm, sae: SAE, feature_X: jax.Array) -> jax.Array:
  """The tokens that features raise most by their logit weights, [X, k]."""
  return jax.lax.top_k(lm.logit_weights(sae.W_dec_FA[feature_X]), TOP)[1]


def difference_of_means(
  sums: dict[str, np.ndarray],
) -> list[np.ndarray | None]:
  """mean where on - mean where off, from sums over tokens: of each label.

  None where there is no such difference: a label that is never on, or always.

  Args:
    sums: `on_KA` and `all_A`, of activations; `on_K` and `all`, of tokens.
  """
  found: list[np.ndarray | None] = []
  for on_A, on in zip(sums['on_KA'], sums['on_K'], strict=True):
    off = sums['all'] - on
    if not (on > 0 and off > 0):
      found.append(None)
      continue
    apart_A = on_A / on - (sums['all_A'] - on_A) / off
    found.append(apart_A if apart_A.any() else None)
  return found
