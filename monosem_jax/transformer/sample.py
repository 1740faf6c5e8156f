"""Samples text from a transformer, in one call or a token at a time.

`sample` continues prompts. `extend` draws the next token of two copies of a
text, one with patched activations. Both copies use the same random numbers, so
that only the patch can make them differ. Each copy equals the text that
`sample` draws for one row with the same key.

Every token runs the whole context again, since one layer over a few hundred
tokens is cheap and a cache would add code. If a text is longer than the
context, the model sees its last T tokens; training contexts are cut anywhere as
well.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.transformer.model import Transformer

# `patch(patch_args, acts_BTA)` maps the activations at all positions of every
# pass, as the patch of `Transformer.__call__`.
Patch = Callable[[Any, jax.Array], jax.Array]


def choose(
  logits_BV: jax.Array,
  key: jax.Array,
  position: jax.Array | int,
  temperature: jax.Array | float = 1.0,
  top_k: jax.Array | int = 0,
  *,
  alike: bool = False,
) -> jax.Array:
  """Draws the next token_B, int32, from softmax(logits / temperature).

  Args:
    logits_BV: logits of the next token.
    key: random key of the whole text; rows draw independently.
    position: index of the token in the text.
    temperature: temperature of the softmax; 0 takes the most likely token.
    top_k: number of most likely tokens to draw from; 0 for all.
    alike: whether all rows use the same random numbers.
  """
  B, V = logits_BV.shape
  logits_BV = jax.lax.cond(
    (top_k > 0) & (top_k < V), _largest, lambda x_BV, k: x_BV, logits_BV, top_k
  )
  noise_BV = jax.random.gumbel(
    jax.random.fold_in(key, position), (1 if alike else B, V), logits_BV.dtype
  )
  token_B = jnp.argmax(logits_BV + temperature * noise_BV, axis=1)
  return token_B.astype(jnp.int32)


def _largest(logits_BV: jax.Array, k: jax.Array) -> jax.Array:
  """Keeps each row's k largest entries, and sets the rest to -inf.

  Among ties the first entries are kept.
  """
  order_BV = jnp.argsort(logits_BV, axis=1, descending=True, stable=True)
  rank_BV = jnp.argsort(order_BV, axis=1)
  return jnp.where(rank_BV < k, logits_BV, -jnp.inf)


@jax.jit(static_argnames=('length', 'patch'))
def sample(
  model: Transformer,
  prompt_BT: jax.Array,
  key: jax.Array,
  *,
  length: int,
  temperature: float | jax.Array = 1.0,
  top_k: int | jax.Array = 0,
  patch: Patch | None = None,
  patch_args: Any = None,
) -> jax.Array:
  """Continues prompts by `length` tokens: tokens_BT, prompts included.

  It is compiled once for each shape and `patch`.

  Args:
    model: the transformer.
    prompt_BT: int32 token ids, at least one per row.
    key, temperature, top_k: see `choose`.
    length: number of tokens to draw.
    patch: the patch, a static argument; None for none.
    patch_args: arrays of the patch, such as the weights of a dictionary.
  """
  B, start = prompt_BT.shape
  T = min(start + length, model.W_pos_TD[...].shape[0])
  tokens_BT = jnp.zeros((B, start + length), prompt_BT.dtype)
  tokens_BT = tokens_BT.at[:, :start].set(prompt_BT)
  patched = functools.partial(patch, patch_args) if patch else None

  def add(i, tokens_BT):
    first = jnp.maximum(i - T, 0)
    seen_BT = jax.lax.dynamic_slice_in_dim(tokens_BT, first, T, axis=1)
    logits_BV = _logits(model, seen_BT, i - 1 - first, patched)
    next_B = choose(logits_BV, key, i, temperature, top_k)
    return tokens_BT.at[:, i].set(next_B.astype(tokens_BT.dtype))

  return jax.lax.fori_loop(start, start + length, add, tokens_BT)


def _logits(model: Transformer, tokens_BT, position, patched) -> jax.Array:
  """Returns the logits at one position: logits_BV."""
  x_BTD, _ = model.residual(tokens_BT, patched)
  x_B1D = jax.lax.dynamic_slice_in_dim(x_BTD, position, 1, axis=1)
  return model.unembed(x_B1D)[:, 0]


@flax.struct.dataclass
class Texts:
  """The parts of two texts that the transformer sees.

  Attributes:
    tokens_2T: last tokens of the unpatched and the patched text, aligned left.
    seen: number of those tokens, the same in both.
    length: number of tokens of a whole text.
  """

  tokens_2T: jax.Array
  seen: jax.Array
  length: jax.Array


@flax.struct.dataclass
class Drawn:
  """The tokens drawn for two texts.

  Attributes:
    token_2: token of the unpatched and of the patched text.
    log_p_22: their log-probabilities at temperature 1, by the unpatched and by
      the patched transformer.
  """

  token_2: jax.Array
  log_p_22: jax.Array


def begin(prompt_T: np.ndarray, context: int) -> Texts:
  """Starts two texts from a prompt of at least one token."""
  last = prompt_T[-context:]
  tokens_T = np.zeros(context, np.int32)
  tokens_T[: last.size] = last
  tokens_2T: Any = np.stack([tokens_T, tokens_T])
  seen: Any = np.int32(last.size)
  length: Any = np.int32(prompt_T.size)
  return Texts(tokens_2T=tokens_2T, seen=seen, length=length)


@jax.jit(static_argnames='patch')
def extend(
  model: Transformer,
  texts: Texts,
  key: jax.Array,
  temperature: jax.Array,
  top_k: jax.Array,
  *,
  patch: Patch,
  patch_args: Any,
) -> tuple[Texts, Drawn]:
  """Extends both texts by a token.

  All arguments except `patch` are arrays, so that one program serves all calls.

  Args:
    model: the transformer.
    texts: the texts so far.
    key, temperature, top_k: see `choose`.
    patch, patch_args: see `sample`.
  """
  T = texts.tokens_2T.shape[1]
  plain_2V, patched_2V = (
    _logits(model, texts.tokens_2T, texts.seen - 1, patched)
    for patched in (None, functools.partial(patch, patch_args))
  )
  logits_2V = jnp.stack([plain_2V[0], patched_2V[1]])
  token_2 = choose(logits_2V, key, texts.length, temperature, top_k, alike=True)
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
