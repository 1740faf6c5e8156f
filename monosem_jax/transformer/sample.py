"""Sampling text from a transformer."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from monosem_jax.transformer.model import Transformer


@jax.jit(static_argnames=('length', 'top_k', 'patch'))
def sample(
  model: Transformer,
  prompt_BT: jax.Array,
  key: jax.Array,
  *,
  length: int,
  temperature: float | jax.Array = 1.0,
  top_k: int = 0,
  patch: Callable[[Any, jax.Array], jax.Array] | None = None,
  patch_args: Any = None,
) -> jax.Array:
  """Continues prompts by `length` tokens: tokens_BT, prompts included.

  The whole context is run again for each token: one layer over some hundred
  tokens costs less than the code of a cache. Of a text that is longer than the
  context, the model sees the last T tokens, as it saw them in training: cut
  anywhere. Compiled once for each shape, `top_k` and `patch`.

  Args:
    model: the transformer.
    prompt_BT: int32 token ids, one of each row at least.
    key: the randomness; rows draw independently.
    length: tokens to draw.
    temperature: what logits are divided by; 0 takes the likeliest token.
    top_k: only so many of the likeliest tokens are drawn from; 0: all.
    patch: `patch(patch_args, acts_BTA)`, at all positions of every pass, as
      `Transformer.__call__` takes it; a function that stays the same.
    patch_args: arrays, weights of a dictionary among them.
  """
  B, start = prompt_BT.shape
  T = min(start + length, model.W_pos_TD[...].shape[0])
  tokens_BT = jnp.zeros((B, start + length), prompt_BT.dtype)
  tokens_BT = tokens_BT.at[:, :start].set(prompt_BT)
  patched = functools.partial(patch, patch_args) if patch else None

  def extend(i, tokens_BT):
    first = jnp.maximum(i - T, 0)
    seen_BT = jax.lax.dynamic_slice_in_dim(tokens_BT, first, T, axis=1)
    x_BTD, _ = model.residual(seen_BT, patched)
    last_B1D = jax.lax.dynamic_slice_in_dim(x_BTD, i - 1 - first, 1, axis=1)
    logits_BV = model.unembed(last_B1D)[:, 0]
    if 0 < top_k < logits_BV.shape[1]:
      logits_BV = _largest(logits_BV, top_k)
    # Its argmax is a draw from softmax(logits / temperature).
    noise_BV = jax.random.gumbel(
      jax.random.fold_in(key, i), logits_BV.shape, logits_BV.dtype
    )
    next_B = jnp.argmax(logits_BV + temperature * noise_BV, axis=1)
    return tokens_BT.at[:, i].set(next_B.astype(tokens_BT.dtype))

  return jax.lax.fori_loop(start, start + length, extend, tokens_BT)


def _largest(logits_BV: jax.Array, k: int) -> jax.Array:
  """The k largest of each row; the others become -inf."""
  top_Bk, ids_Bk = jax.lax.top_k(logits_BV, k)
  none_BV = jnp.full_like(logits_BV, -jnp.inf)
  rows_B1 = jnp.arange(len(logits_BV))[:, None]
  return none_BV.at[rows_B1, ids_Bk].set(top_Bk)
