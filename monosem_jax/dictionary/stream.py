"""Tokens of a chunk to shuffled activation rows, in memory, on the mesh.

The rows are never permuted as a whole: a permutation of their indices is drawn
inside each of G groups, and a batch's rows are gathered inside its step. Groups
lie on the `data` axis, so the shuffle moves no row between its devices.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from monosem_jax.config import settings
from monosem_jax.device.mesh import SPECS, constrain, per_device, sum_over_rows


@flax.struct.dataclass
class Rows:
  """The rows of a chunk and the order in which batches take them.

  Attributes:
    rows_UGrA: activations, by micro-batch of the forward pass and group.
    index_SMGn: for step S, micro-batch M of its batch and group G, which n of
      the group's U * r rows; over S, M and n each of them once.
  """

  rows_UGrA: jax.Array
  index_SMGn: jax.Array

  def take(self, index_Gn: jax.Array) -> jax.Array:
    """Gathers n rows of every group, as x_NA with N = G * n."""

    def of_device(rows_UGrA: jax.Array, index_Gn: jax.Array) -> jax.Array:
      _, G, r, A = rows_UGrA.shape
      # One index into all rows, as they lie: by two XLA would lay them anew.
      u_Gn, r_Gn = jnp.divmod(index_Gn, r)
      flat_Gn = (u_Gn * G + jnp.arange(G)[:, None]) * r + r_Gn
      return rows_UGrA.reshape(-1, A)[flat_Gn.reshape(-1)]

    x_NA: jax.Array = per_device(
      of_device, (SPECS.rows_UGrA, SPECS.x_NA), SPECS.x_NA
    )(self.rows_UGrA, index_Gn)
    return x_NA

  def pick(self, flat_F: jax.Array) -> jax.Array:
    """Gathers rows by their number in the order of training, as x_FA."""
    G, n = self.index_SMGn.shape[2:]
    index_F = self.index_SMGn.reshape(-1)[flat_F]
    group_F = flat_F // n % G

    def of_device(
      rows_UGrA: jax.Array,
      first_G: jax.Array,
      index_F: jax.Array,
      group_F: jax.Array,
    ) -> jax.Array:
      _, own, r, A = rows_UGrA.shape
      at_F = group_F - first_G[0]
      here_F = (at_F >= 0) & (at_F < own)
      u_F, r_F = jnp.divmod(index_F, r)
      flat_F = (u_F * own + jnp.where(here_F, at_F, 0)) * r + r_F
      x_FA = rows_UGrA.reshape(-1, A)[flat_F]
      total_FA: jax.Array = sum_over_rows(jnp.where(here_F[:, None], x_FA, 0))
      return total_FA

    one = SPECS.replicated
    x_FA: jax.Array = per_device(
      of_device, (SPECS.rows_UGrA, SPECS.x_NA, one, one), one
    )(self.rows_UGrA, jnp.arange(G), index_F, group_F)
    return x_FA


def joined(chunks: Iterable[Rows]) -> Rows:
  """The rows of several chunks, whose batches follow each other."""
  rows, index, before = [], [], 0
  for chunk in chunks:
    U, _, r, _ = chunk.rows_UGrA.shape
    rows.append(chunk.rows_UGrA)
    index.append(chunk.index_SMGn + before)
    before += U * r
  if len(rows) == 1:  # a copy of a large chunk would be held beside it
    return Rows(rows_UGrA=rows[0], index_SMGn=index[0])
  return Rows(
    rows_UGrA=jnp.concatenate(rows), index_SMGn=jnp.concatenate(index)
  )


def positions(
  c: settings.Stream, context_C: jax.Array, epoch_C: jax.Array, T: int
) -> jax.Array:
  """The P positions of each context that its epoch trains on: position_CP.

  Every context has one fixed permutation of its positions; epoch e takes its
  e-th slice, so that no row repeats before T // P epochs.
  """
  P = c.positions_per_context
  key = jax.random.fold_in(jax.random.key(c.seed), 0)

  def of_context(context: jax.Array, epoch: jax.Array) -> jax.Array:
    order_T = jax.random.permutation(jax.random.fold_in(key, context), T)
    start = epoch % (T // P) * P if T // P > 1 else 0
    return jax.lax.dynamic_slice_in_dim(order_T, start, P)

  position_CP: jax.Array = jax.vmap(of_context)(context_C, epoch_C)
  return position_CP


def shuffled_index(c: settings.Stream, chunk: jax.Array) -> jax.Array:
  """Draws a chunk's order: index_SMGn of `Rows`."""
  R = c.contexts_per_chunk * c.positions_per_context
  G, N = c.shuffle_groups, c.batch_size
  M = N // (c.micro_batch or N)
  key = jax.random.fold_in(jax.random.key(c.seed), 1)
  keys_G = jax.random.split(jax.random.fold_in(key, chunk), G)
  order_GR = jax.vmap(lambda key: jax.random.permutation(key, R // G))(keys_G)
  order_GSMn = order_GR.reshape(G, R // N, M, N // M // G)
  return order_GSMn.transpose(1, 2, 0, 3)


def harvest(
  c: settings.Stream,
  forward: Callable[..., jax.Array],
  lm: Any,
  tokens_CT: jax.Array,
  context_C: jax.Array,
  epoch_C: jax.Array,
  dtype: jnp.dtype,
) -> jax.Array:
  """Runs the frozen transformer over a chunk's contexts: rows_UGrA.

  Args:
    c: the stream's settings.
    forward: `forward(lm, tokens_BT) -> acts_BTA`.
    lm: what `forward` needs; passed in, for closed over it would be constants.
    tokens_CT: int32 token ids.
    context_C: number of each context in the store.
    epoch_C: how often the stream has been through the store, for each context.
    dtype: of the rows.
  """
  C, T = tokens_CT.shape
  G, U = c.shuffle_groups, c.micro_batches
  position_CP = positions(c, context_C, epoch_C, T)

  # Groups stay sharded, micro-batches are mapped over.
  def outermost(x_CX: jax.Array) -> jax.Array:
    x_UGCX = x_CX.reshape(G, U, C // G // U, *x_CX.shape[1:]).swapaxes(0, 1)
    return constrain(x_UGCX, SPECS.tokens_UGCT)

  def micro_batch(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
    # Mapped over groups, not joined to one batch: that could not be spread over
    # both axes, and every device along `feature` would run the same forward.
    tokens_GCT, position_GCP = inputs
    acts_GCTA = jax.vmap(lambda tokens_CT: forward(lm, tokens_CT))(tokens_GCT)
    kept_GCPA = jnp.take_along_axis(
      acts_GCTA.astype(dtype),
      position_GCP[..., None],
      axis=2,
      mode='promise_in_bounds',
    )
    return kept_GCPA.reshape(G, -1, kept_GCPA.shape[-1])

  rows_UGrA = jax.lax.map(
    micro_batch, (outermost(tokens_CT), outermost(position_CP))
  )
  return constrain(rows_UGrA, SPECS.rows_UGrA)


def contexts_per_batch(c: settings.Stream) -> float:
  """The mean number of distinct contexts in a batch.

  Of R / G rows of a group, N / G are drawn: a context with P rows stays out
  with the hypergeometric probability of drawing none of them.
  """
  rows = c.contexts_per_chunk * c.positions_per_context // c.shuffle_groups
  drawn, own = c.batch_size // c.shuffle_groups, c.positions_per_context
  if rows - own < drawn:
    return float(c.contexts_per_chunk)
  log_none = (
    math.lgamma(rows - own + 1)
    - math.lgamma(rows - own - drawn + 1)
    - math.lgamma(rows + 1)
    + math.lgamma(rows - drawn + 1)
  )
  return c.contexts_per_chunk * -math.expm1(log_none)


def repetition(c: settings.Stream, n: int, T: int) -> dict[str, float | int]:
  """Epochs of a text of n contexts, and how many of the rows differ."""
  contexts = c.steps * c.batch_size // c.positions_per_context
  slices = T // c.positions_per_context
  return {
    'epochs': contexts / n,
    'unique_activations': min(contexts, n * slices) * c.positions_per_context,
  }
