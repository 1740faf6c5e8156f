"""Sampling a token at a time: a text, and beside it the same text patched.

Both draw the same random numbers, so that where they part the patch did it; and
each says what `transformer.sample.sample` says of one row, with the same key.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.transformer.model import Transformer


@flax.struct.dataclass
class Texts:
  """The ends of two texts, as the transformer sees them.

  Attributes:
    tokens_2T: the last tokens of the unpatched text and of the patched one,
      which are as long, from the left.
    seen: how many there are.
    length: tokens of a text in all.
  """

  tokens_2T: jax.Array | np.ndarray
  seen: jax.Array | np.ndarray
  length: jax.Array | np.ndarray


@flax.struct.dataclass
class Drawn:
  """A token of each text.

  Attributes:
    token_2: the unpatched text's, the patched text's.
    log_p_22: the log-probability, at temperature 1, by the unpatched
      transformer and by the patched one, of each.
  """

  token_2: jax.Array
  log_p_22: jax.Array


def begin(prompt_T: np.ndarray, context: int) -> Texts:
  """Two texts that are a prompt yet, of one token at least."""
  last = prompt_T[-context:]
  tokens_T = np.zeros(context, np.int32)
  tokens_T[: last.size] = last
  return Texts(
    tokens_2T=np.stack([tokens_T, tokens_T]),
    seen=np.asarray(last.size, np.int32),
    length=np.asarray(prompt_T.size, np.int32),
  )


@jax.jit(static_argnames='patch')
def extend(
  model: Transformer,
  texts: Texts,
  key: jax.Array,
  temperature: jax.Array,
  top_k: jax.Array,
  *,
  patch: Callable[[Any, jax.Array], jax.Array],
  patch_args: Any,
) -> tuple[Texts, Drawn]:
  """Both texts longer by a token. All but `patch` are arrays: one program.

  Args:
    model: the transformer.
    texts: what is there.
    key: the randomness of the whole text.
    temperature: what logits are divided by; 0 takes the likeliest token.
    top_k: only so many of the likeliest tokens are drawn from; 0: all.
    patch: `patch(patch_args, acts_BTA)`, as `sample` takes it.
    patch_args: arrays.
  """
  T = texts.tokens_2T.shape[1]

  def last_logits(patched) -> jax.Array:
    x_2TD, _ = model.residual(texts.tokens_2T, patched)
    x_21D = jax.lax.dynamic_slice_in_dim(x_2TD, texts.seen - 1, 1, axis=1)
    return model.unembed(x_21D)[:, 0]

  plain_2V = last_logits(None)
  patched_2V = last_logits(functools.partial(patch, patch_args))
  logits_2V = jnp.stack([plain_2V[0], patched_2V[1]])
  V = logits_2V.shape[1]
  logits_2V = jax.lax.cond(
    (top_k > 0) & (top_k < V), _largest, lambda x_2V, k: x_2V, logits_2V, top_k
  )
  # Its argmax is a draw from softmax(logits / temperature).
  noise_1V = jax.random.gumbel(
    jax.random.fold_in(key, texts.length), (1, V), logits_2V.dtype
  )
  token_2 = jnp.argmax(logits_2V + temperature * noise_1V, axis=1)
  token_2 = token_2.astype(jnp.int32)
  log_p_22V = jax.nn.log_softmax(jnp.stack([plain_2V, patched_2V]))
  log_p_221 = jnp.take_along_axis(log_p_22V, token_2[None, :, None], axis=2)

  # A full context loses its first token.
  full = texts.seen == T
  tokens_2T = jnp.where(
    full, jnp.roll(texts.tokens_2T, -1, axis=1), texts.tokens_2T
  )
  seen = jnp.where(full, T, texts.seen + 1)
  tokens_2T = tokens_2T.at[:, seen - 1].set(token_2)
  return (
    Texts(tokens_2T=tokens_2T, seen=seen, length=texts.length + 1),
    Drawn(token_2=token_2, log_p_22=log_p_221[..., 0]),
  )


def _largest(logits_2V: jax.Array, k: jax.Array) -> jax.Array:
  """The k largest of each row, as `lax.top_k` takes them where some are equal;
  the others become -inf."""
  order_2V = jnp.argsort(logits_2V, axis=1, descending=True, stable=True)
  rank_2V = jnp.argsort(order_2V, axis=1)
  return jnp.where(rank_2V < k, logits_2V, -jnp.inf)
