"""One streaming pass over tokens: where and how strongly every feature fires.

The pass is cheap because it reads f_NF by reductions alone. One counts firings
exactly. One takes the maximum over a context's positions, which leaves one
candidate per context for the top examples. One finds the blocks of rows that
hold drawn activations, for histograms and intervals (`sampling`).
"""

import functools
from collections.abc import Callable, Iterable, Iterator

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config import settings
from monosem_jax.device.mesh import (
  SPECS,
  constrain,
  f_shards,
  f_spec,
  fetch,
  in_place,
  per_device,
  tokens_spec,
)
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode, rows_of
from monosem_jax.features import sampling

# Upper bound on the sampled activations per token for which a device has room.
# Activations beyond the room are counted as lost.
_OF_A_TOKEN = 64


@flax.struct.dataclass
class Totals:
  """Totals of a pass, on the device.

  Attributes:
    fired_F: number of tokens on which each feature fired.
    top_FE: the largest context maxima so far, descending; 0 for empty entries.
    top_context_FE: the contexts of these maxima; -1 for empty entries.
    lost: number of sampled activations for which there was no room.
  """

  fired_F: jax.Array
  top_FE: jax.Array
  top_context_FE: jax.Array
  lost: jax.Array


@flax.struct.dataclass
class Sampled:
  """Randomly sampled activations of a batch, on X devices with room for M each.

  Attributes:
    feature_XM: feature of each activation.
    value_XM: the activation.
    context_XM: context of its token.
    position_XM: position of its token in the context.
    priority_XM: its random priority, see `sampling.Drawn`.
    count_X: number of valid entries of each device.
  """

  feature_XM: jax.Array
  value_XM: jax.Array
  context_XM: jax.Array
  position_XM: jax.Array
  priority_XM: jax.Array
  count_X: jax.Array


def fresh(features: int, kept: int) -> Totals:
  """Empty totals with room for `kept` top contexts."""
  return Totals(
    fired_F=jnp.zeros(features, jnp.int32),
    top_FE=jnp.zeros((features, kept)),
    top_context_FE=jnp.full((features, kept), -1, jnp.int32),
    lost=jnp.zeros((), jnp.int32),
  )


@functools.cache
def make_step(
  forward: Callable[..., jax.Array], dot: Dot, room: int
) -> Callable:
  """Compiles one step of the pass.

  Args:
    forward: `forward(lm, tokens_BT) -> acts_BTA`.
    dot: the matrix product.
    room: number of sampled activations that a device can hold per batch.

  Returns:
    `step(totals, lm, sae, keep_F, key, tokens_BT, context_B) -> (totals,
    Sampled)`, which donates the totals. It samples an activation of feature i
    with probability keep_F[i].
  """

  @jax.jit(donate_argnums=0)
  def step(
    totals: Totals, lm, sae: SAE, keep_F, key, tokens_BT, context_B
  ) -> tuple[Totals, Sampled]:
    B, T = tokens_BT.shape
    acts_BTA = forward(lm, constrain(tokens_BT, tokens_spec(B)))
    x_NA = rows_of(acts_BTA).astype(sae.b_enc_F.dtype)
    f_NF = constrain(encode(sae, x_NA, dot), f_spec(B * T))
    top_FE, top_context_FE = per_device(
      _merge,
      (SPECS.top_FE, SPECS.top_FE, SPECS.top_FE, SPECS.replicated),
      (SPECS.top_FE, SPECS.top_FE),
    )(
      totals.top_FE,
      totals.top_context_FE,
      f_NF.reshape(B, T, -1).max(1).T,
      context_B.astype(jnp.int32),
    )
    drawn = sampling.draw(f_NF, keep_F, key, room)
    context_X, position_X = jnp.divmod(drawn.row_XM, T)
    sampled = Sampled(
      feature_XM=drawn.feature_XM,
      value_XM=drawn.value_XM,
      context_XM=context_B[context_X],
      position_XM=position_X,
      priority_XM=drawn.priority_XM,
      count_X=jnp.minimum(drawn.count_X, room),
    )
    # Signs are 0 or 1. On a CPU they make the pass 5% faster than comparisons.
    # float32 counts rows exactly up to 2^24.
    fired_F = jnp.sign(f_NF).sum(0).astype(jnp.int32)
    totals = Totals(
      fired_F=totals.fired_F + fired_F,
      top_FE=top_FE,
      top_context_FE=top_context_FE,
      lost=totals.lost + (drawn.count_X - sampled.count_X).sum(),
    )
    return in_place(totals), in_place(sampled)

  return step


def room_for(c: settings.Features, F: int, N: int, tokens: int) -> int:
  """The number of sampled activations that a device can hold per batch.

  Args:
    c: settings.
    F: number of features.
    N: number of tokens of a batch, which are sharded over the current mesh.
    tokens: number of tokens of the whole pass.
  """
  # Twice the expected number, since batches are uneven.
  room = int(2 * F * c.activations * N / tokens / f_shards(N)) + 4_096
  return min(room, N * min(F, _OF_A_TOKEN))


def _merge(
  top_FE: jax.Array,
  top_context_FE: jax.Array,
  best_FB: jax.Array,
  context_B: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """Merges a batch's context maxima into the largest so far."""
  both = jnp.concatenate([top_FE, best_FB], 1)
  context_FB = jnp.broadcast_to(context_B, best_FB.shape)
  contexts = jnp.concatenate([top_context_FE, context_FB], 1)
  top_FE, at_FE = jax.lax.top_k(both, top_FE.shape[1])
  return top_FE, jnp.take_along_axis(contexts, at_FE, 1)


@flax.struct.dataclass
class Found:
  """The result of the pass, on the host.

  The M sampled activations are sorted by feature, then by value. Each feature
  has at most `settings.Features.activations` of them.

  Attributes:
    tokens: number of tokens of the pass.
    fired_F: number of tokens on which each feature fired.
    top_FE: the largest context maxima, descending; 0 for empty entries.
    top_context_FE: the contexts of these maxima.
    lost: number of sampled activations for which there was no room.
    feature_M: feature of each sampled activation.
    value_M: the activation.
    context_M: context of its token.
    position_M: position of its token in the context.
  """

  tokens: int
  fired_F: np.ndarray
  top_FE: np.ndarray
  top_context_FE: np.ndarray
  lost: int
  feature_M: np.ndarray
  value_M: np.ndarray
  context_M: np.ndarray
  position_M: np.ndarray


def collect(
  c: settings.Features,
  forward: Callable[..., jax.Array],
  dot: Dot,
  lm,
  sae: SAE,
  batches: Callable[[], Iterator[tuple[np.ndarray | jax.Array, ...]]],
  tokens: int,
  progress: Callable[[int], None],
) -> Found:
  """Runs the pass, after a short pass that estimates densities.

  Args:
    c: settings.
    forward: `forward(lm, tokens_BT) -> acts_BTA`.
    dot: the matrix product.
    lm: the transformer, on the current mesh if there is one, like all arrays.
    sae: the dictionary.
    batches: opens a stream of (tokens_BT, context_B).
    tokens: number of tokens of the stream.
    progress: called with the number of tokens of each batch of the pass.
  """
  F = sae.b_enc_F.size
  key = jax.random.key(c.seed)
  first = next(batches())[0].size
  step = make_step(forward, dot, room_for(c, F, first, tokens))

  def read_through(
    keep_F: np.ndarray, limit: int, told: Callable[[int], object]
  ) -> tuple[list[Sampled], Totals]:
    totals = jax.jit(lambda: in_place(fresh(F, 2 * c.top)))()
    parts: list[Sampled] = []
    seen = 0
    for i, (tokens_BT, context_B) in enumerate(batches()):
      if seen >= limit:
        break
      totals, sampled = step(
        totals,
        lm,
        sae,
        keep_F,
        jax.random.fold_in(key, i),
        tokens_BT,
        context_B,
      )
      parts.append(sampled)
      seen += tokens_BT.size
      told(tokens_BT.size)
    return parts, totals

  # Tokens of the short pass, which reads whole batches and so perhaps more than
  # the limit.
  read: list[int] = []
  dtype = sae.b_enc_F.dtype
  _, totals = read_through(
    np.zeros(F, dtype), max(1, int(tokens * c.sample_fraction)), read.append
  )
  expected_F = np.maximum(fetch(totals.fired_F), 1) / sum(read) * tokens
  # A little more than wanted; `_on_host` drops the surplus.
  keep_F = np.minimum(1.0, 1.2 * c.activations / expected_F)
  parts, totals = read_through(keep_F.astype(dtype), tokens, progress)
  return _on_host(c, tokens, parts, totals)


def _on_host(
  c: settings.Features, tokens: int, parts: Iterable[Sampled], totals: Totals
) -> Found:
  found, *drawn = fetch([totals, *parts])
  there = [np.arange(p.value_XM.shape[1]) < p.count_X[:, None] for p in drawn]
  feature_M, value_M, context_M, position_M, priority_M = (
    np.concatenate(
      [getattr(p, name)[at] for p, at in zip(drawn, there, strict=True)]
    )
    for name in (
      *('feature_XM', 'value_XM', 'context_XM', 'position_XM'),
      'priority_XM',
    )
  )
  # Each feature keeps its activations with the lowest priorities.
  order_M = np.lexsort((priority_M, feature_M))
  start_F = np.searchsorted(feature_M[order_M], np.arange(found.fired_F.size))
  rank_M = np.arange(order_M.size) - start_F[feature_M[order_M]]
  order_M = order_M[rank_M < c.activations]
  order_M = order_M[np.lexsort((value_M[order_M], feature_M[order_M]))]
  return Found(
    tokens,
    found.fired_F.astype(np.int64),
    found.top_FE,
    found.top_context_FE,
    int(found.lost),
    feature_M[order_M],
    value_M[order_M],
    context_M[order_M],
    position_M[order_M],
  )
