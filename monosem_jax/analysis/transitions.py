"""Measures automata in the running transformer: effects of pins, and walks.

`automata` predicts edges from weights. Here the transformer runs with a feature
pinned at one position: x + (value - f(x)) d.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode


def _fires(sae: SAE, dot: Dot, x_BA, feature_Bn) -> jax.Array:
  """The activations of n features of each row, which differ by row: f_Bn."""

  def of_row(x_A, feature_n):
    W_An, b_n = sae.W_enc_AF[:, feature_n], sae.b_enc_F[feature_n]
    own = dataclasses.replace(sae, W_enc_AF=W_An, b_enc_F=b_n)
    return encode(own, x_A[None], dot)[0]

  return jax.vmap(of_row)(x_BA.astype(sae.b_enc_F.dtype), feature_Bn)


def _logits(lm, sae: SAE, dot: Dot, tokens_BT, at_B, pin=None) -> jax.Array:
  """The logits at one position of each row: logits_BV.

  `pin`, (feature_B, value_B), pins a feature of each row at that position only.
  """
  row_B = jnp.arange(len(at_B))

  def patch(acts_BTA):
    feature_B, value_B = pin
    f_B1 = _fires(sae, dot, acts_BTA[row_B, at_B], feature_B[:, None])
    change_BA = (value_B[:, None] - f_B1) * sae.W_dec_FA[feature_B]
    return acts_BTA.at[row_B, at_B].add(change_BA.astype(acts_BTA.dtype))

  x_BTD, _ = lm.residual(tokens_BT, patch if pin else None)
  return lm.unembed(x_BTD[row_B, at_B][:, None])[:, 0]


@jax.jit(static_argnames='dot')
def effect(
  lm, sae: SAE, dot: Dot, tokens_BT, at_B, source, value, share_Vn
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """How much a pin raises the probability that features fire on the next token.

  The source is pinned at one position of each context. The effect is the change
  of the next token's distribution times P(feature fires | token). It is exact,
  except that P ignores the context. It has the same unit as the edges of
  `automata.predict`.

  Args:
    lm: the transformer.
    sae: the dictionary.
    dot: the matrix product.
    tokens_BT: contexts.
    at_B: position of the pin in each context; -1 for rows without a context. To
      ablate the source, give positions at which it fires.
    source: the feature to pin.
    value: the value to pin it to: its maximum, or 0 to ablate it.
    share_Vn: P(feature fires | token) of the n features to measure.

  Returns:
    mean_n over contexts; its standard error_n, infinite for fewer than two
    contexts; and the number of contexts.
  """
  there_B1 = (at_B >= 0)[:, None]
  pin = jnp.full(len(at_B), source), jnp.full(len(at_B), value)
  p_BV, pinned_BV = (
    jax.nn.softmax(_logits(lm, sae, dot, tokens_BT, jnp.maximum(at_B, 0), own))
    for own in (None, pin)
  )
  # The two are close, so that rounding to bfloat16 would lose the difference.
  change_Bn = jnp.matmul(pinned_BV - p_BV, share_Vn, precision='highest')
  n = there_B1.sum(dtype=change_Bn.dtype)
  mean_n = change_Bn.sum(0, where=there_B1) / jnp.maximum(n, 1)
  squares_n = jnp.square(change_Bn - mean_n).sum(0, where=there_B1)
  error_n = jnp.sqrt(squares_n / jnp.maximum(n * (n - 1), 1))
  return mean_n, jnp.where(n > 1, error_n, jnp.inf), n


@jax.jit(static_argnames=('dot', 'choose', 'length', 'pinned'))
def walk(
  lm,
  sae: SAE,
  dot: Dot,
  choose: Callable[..., jax.Array],
  nodes_Bn,
  value_Bn,
  prompt_BT,
  key,
  length: int,
  pinned: bool = True,
) -> tuple[jax.Array, jax.Array]:
  """Samples texts while the features of a machine are pinned in turn.

  Each step pins one node at the last position: the node that fired most on the
  token there, relative to its value. If none fired, the node stays the same. A
  walk starts with the first node.

  Args:
    lm: the transformer.
    sae: the dictionary.
    dot: the matrix product.
    choose: `choose(logits_BV, key, position)` samples the next token of each
      text.
    nodes_Bn: features of each text's machine, padded with -1.
    value_Bn: values that they are pinned to, their maxima.
    prompt_BT: prompts; with `length` more tokens they must fit a context.
    key: random key of the samples.
    length: number of tokens to sample.
    pinned: False samples without pins, with the same random draws.

  Returns:
    tokens_BT, including prompts; and node_BL, for each sampled token the node
    (0..n-1) that fired most on it, or -1.
  """
  B, start = prompt_BT.shape
  row_B = jnp.arange(B)
  scale_Bn = jnp.where((nodes_Bn >= 0) & (value_Bn > 0), value_Bn, jnp.inf)

  def extend(i, carry):
    tokens_BT, now_B, node_BL = carry
    pin = None
    if pinned:
      pin = nodes_Bn[row_B, now_B], value_Bn[row_B, now_B]
    logits_BV = _logits(lm, sae, dot, tokens_BT, jnp.full(B, i - 1), pin)
    next_B = choose(logits_BV, key, i)
    tokens_BT = tokens_BT.at[:, i].set(next_B.astype(tokens_BT.dtype))
    _, acts_BTA = lm.residual(tokens_BT)
    f_Bn = _fires(sae, dot, acts_BTA[:, i], nodes_Bn) / scale_Bn
    fires_B, most_B = f_Bn.max(1) > 0, f_Bn.argmax(1).astype(jnp.int32)
    node_BL = node_BL.at[:, i - start].set(jnp.where(fires_B, most_B, -1))
    return tokens_BT, jnp.where(fires_B, most_B, now_B), node_BL

  blank_BT = jnp.pad(prompt_BT, ((0, 0), (0, length)))
  node_BL = jnp.zeros((B, length), jnp.int32)
  carry = blank_BT, jnp.zeros(B, jnp.int32), node_BL
  return jax.lax.fori_loop(start, start + length, extend, carry)[::2]
