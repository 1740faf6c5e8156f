"""The effects of pinning features, which means holding them at a value.

As in the paper (feature deep dives, downstream effects), x <- x + sum over
pinned features k of (value_k - f_k(x)) d_k. This equals x + decode(f with pins)
- decode(f). It keeps the reconstruction error, and only the pinned features
have to be computed.

Our choices where the paper is silent: features are pinned at all positions,
including the prompt's, and a feature's maximum is the largest activation seen
in the features pass. Multiples of it should lie in [-10, 10]; "Scaling
Monosemanticity" (2024) found that larger ones give gibberish.
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
# Number of tokens whose log-odds are measured: those that a feature raises
# most.
TOP = 10
# Float32, so that pinned values are exact; a few rows cost little.
_DOT = Dot(jnp.dtype(jnp.float32))


@flax.struct.dataclass
class Pins:
  """K pinned features, as arrays that compiled programs take.

  f = ReLU(x W_enc^T + b_enc). The paper's encoder first subtracts the decoder
  bias from x; here that is part of b_enc.

  Attributes:
    W_enc_KA: encoder rows.
    b_enc_K: encoder biases.
    W_dec_KA: decoder rows.
    value_K: the values that features are pinned to.
  """

  W_enc_KA: jax.Array
  b_enc_K: jax.Array
  W_dec_KA: jax.Array
  value_K: jax.Array


def pins(sae: SAE, feature_K: jax.Array, value_K: jax.Array) -> Pins:
  """Pins features of a dictionary; pins of several can be concatenated."""
  W_enc_KA = sae.W_enc_AF[:, feature_K].T
  return Pins(
    W_enc_KA=W_enc_KA,
    b_enc_K=sae.b_enc_F[feature_K] - _DOT('a,ka->k', sae.b_dec_A, W_enc_KA),
    W_dec_KA=sae.W_dec_FA[feature_K],
    value_K=value_K.astype(sae.b_enc_F.dtype),
  )


def none(slots: int, width: int) -> Pins:
  """Empty slots for pins of activations of the given width.

  A pin of zeros changes nothing, so one compiled program serves any number of
  pins up to `slots`.
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
  """Pins features of a dictionary in the slots where own_K is true."""
  found = pins(sae, feature_K, value_K)

  def choose(x, y):
    return jnp.where(own_K.reshape(-1, *[1] * (x.ndim - 1)), x, y)

  return jax.tree.map(choose, found, held)


def strength(pins: Pins, acts_BTA: jax.Array) -> jax.Array:
  """The activations of features before they are pinned: f_NK."""
  own = SAE(
    W_enc_AF=pins.W_enc_KA.T,
    b_enc_F=pins.b_enc_K,
    W_dec_FA=pins.W_dec_KA,
    b_dec_A=jnp.zeros_like(pins.W_dec_KA[0]),
  )
  return encode(own, rows_of(acts_BTA), _DOT)


def patch(pins: Pins, acts_BTA: jax.Array) -> jax.Array:
  """The activations with features pinned at all positions.

  It is used as a transformer's `patch`. Without pins it returns the activations
  unchanged and adds nothing to the compiled program.
  """
  if not pins.value_K.size:
    return acts_BTA
  change_NK = pins.value_K - strength(pins, acts_BTA)
  added_NA = _DOT('nk,ka->na', change_NK, pins.W_dec_KA)
  return acts_BTA + added_NA.reshape(acts_BTA.shape)


def patch_each(pins: Pins, acts_BTA: jax.Array) -> jax.Array:
  """`patch` with separate pins for each row; their arrays start with axis B."""
  return jax.vmap(lambda own, x_TA: patch(own, x_TA[None])[0])(pins, acts_BTA)


def log_odds(logits_BTV: jax.Array, set_k: jax.Array) -> jax.Array:
  """Log-odds log p - log(1 - p) that the next token is in a set, [B, T]."""
  inside_V = jnp.zeros(logits_BTV.shape[-1], bool).at[set_k].set(True)
  of = lambda where_V: jax.nn.logsumexp(
    jnp.where(where_V, logits_BTV, -jnp.inf), axis=-1
  )
  return of(inside_V) - of(~inside_V)


def direction(added_A: np.ndarray) -> Pins:
  """A pin that adds a direction at every position, whatever the activation.

  It has an activation of 0 everywhere, so its value is the multiple added.
  """
  row_KA: Any = np.asarray(added_A, np.float32)[None]
  return dataclasses.replace(none(1, row_KA.shape[1]), W_dec_KA=row_KA)


def along(own: Pins, row_A: np.ndarray) -> Pins:
  """The change that a pinned feature makes, redirected along another row.

  The change has the same sign and norm at each position. It is a control for
  the feature's direction, with the positions and the amount of the change
  fixed.
  """
  norm = lambda x_KA: np.linalg.norm(x_KA, axis=1, keepdims=True)
  row_KA = np.asarray(row_A, np.float32)[None]
  along_KA: Any = row_KA * (norm(own.W_dec_KA) / norm(row_KA))
  return dataclasses.replace(own, W_dec_KA=along_KA)


def at_values(arms: Sequence[Pins], value_LM: np.ndarray) -> Pins:
  """L single pins at M values each; the arrays start with axes L and M."""
  L, M = value_LM.shape
  stacked = jax.tree.map(lambda *x: np.stack(x)[:, None], *arms)
  many = jax.tree.map(lambda x: x.repeat(M, 1), stacked)
  value_LMK = np.asarray(value_LM, np.float32).reshape(L, M, 1)
  return many.replace(value_K=value_LMK)


@jax.jit
def strengths(lm, pins: Pins, tokens_CT: jax.Array) -> jax.Array:
  """`strength` on all tokens of contexts: f_NK."""
  return strength(pins, lm.residual(tokens_CT)[1])


@jax.jit
def effects(
  lm, held_P: Pins, tokens_CT: jax.Array, set_k: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """The effects of P pins on the next token, and the size of their changes.

  All results are means over the positions of a context.

  Args:
    lm: the transformer.
    held_P: the pins; their arrays start with axis P.
    tokens_CT: contexts.
    set_k: the set of tokens whose log-odds are measured.

  Returns:
    The log-odds that the next token is in the set, without pins: [C]. And for
    each pin, [P, C]: `log_odds`; `kl`, KL(unpinned || pinned) of the next
    token's distribution in nats; and `norm`, the L2 norm of the change of the
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
  """The tokens with the largest logit weights of each feature, [X, k]."""
  return jax.lax.top_k(lm.logit_weights(sae.W_dec_FA[feature_X]), TOP)[1]


def difference_of_means(
  sums: dict[str, np.ndarray],
) -> list[np.ndarray | None]:
  """The difference of mean activations with and without each label.

  Args:
    sums: sums of activations over tokens with each label, `on_KA`, and over all
      tokens, `all_A`; numbers of tokens with each label, `on_K`, and of all
      tokens, `all`.

  Returns:
    A difference for each label; None if no token or every token has the label,
    or if the difference is zero.
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
