"""Sampling text from a transformer."""

import jax
import jax.numpy as jnp

from monosem_jax.transformer.model import Transformer


@jax.jit(static_argnames='length')
def sample(
  model: Transformer,
  prompt_BT: jax.Array,
  key: jax.Array,
  *,
  length: int,
  temperature: float = 1.0,
) -> jax.Array:
  """Continues prompts by `length` tokens: tokens_BT, prompts included.

  The whole context is run again for each token: one layer over some hundred
  tokens costs less than the code of a cache. Prompt and length together must
  fit the context.
  """
  B, start = prompt_BT.shape
  tokens_BT = jnp.zeros((B, start + length), prompt_BT.dtype)
  tokens_BT = tokens_BT.at[:, :start].set(prompt_BT)

  def extend(i, tokens_BT):
    logits_BTV, _ = model(tokens_BT)
    logits_BV = jax.lax.dynamic_index_in_dim(
      logits_BTV, i - 1, axis=1, keepdims=False
    )
    next_B = jax.random.categorical(
      jax.random.fold_in(key, i), logits_BV / temperature
    )
    return tokens_BT.at[:, i].set(next_B.astype(tokens_BT.dtype))

  return jax.lax.fori_loop(start, start + length, extend, tokens_BT)
