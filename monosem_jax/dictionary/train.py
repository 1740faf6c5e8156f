"""The chunk: one compiled call that trains all dictionaries of a stream."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary import optimizer, recipes
from monosem_jax.dictionary.resample import resample
from monosem_jax.dictionary.state import DictionaryState, StreamState
from monosem_jax.dictionary.step import train_step
from monosem_jax.dictionary.stream import Rows, harvest, shuffled_index

# Quarter-decades of log10 density, 1e-8 to 1; the first bin holds lower ones.
DENSITY_EDGES = tuple(x / 4 for x in range(-32, 1))


def candidate_losses(
  c: settings.Dictionary, state: DictionaryState, rows: Rows, N: int, dot: Dot
) -> jax.Array:
  """Returns the dictionary's losses on the chunk's first rows: loss_R."""
  batches = c.resampling.candidates // N
  row_losses = recipes.of(c).row_losses
  assert row_losses is not None, 'the recipe does not resample'

  def losses(index_Gn: jax.Array) -> jax.Array:
    x_NA = rows.take(index_Gn).astype(state.scale.dtype) * state.scale
    mse_N, l1_norm_N, _ = row_losses(state.sae, x_NA, dot)
    if c.resampling.loss == 'mse':
      return mse_N
    return mse_N + state.l1 * l1_norm_N

  index_SMGn = rows.index_SMGn[:batches]
  index_RGn = index_SMGn.reshape(-1, *index_SMGn.shape[2:])
  loss_R: jax.Array = jax.lax.map(losses, index_RGn).reshape(-1)
  return loss_R


def density_histogram(fired_F: jax.Array, rows: int) -> jax.Array:
  """Returns the int32 histogram of log10 density, with DENSITY_EDGES.

  The first bin holds silent features and all below the first edge. A feature on
  an edge counts above it.
  """
  log_F = jnp.log10(jnp.maximum(fired_F, 1) / rows)
  bin_F = jnp.searchsorted(jnp.asarray(DENSITY_EDGES), log_F, side='right')
  bin_F = jnp.where(fired_F > 0, bin_F, 0)
  return jnp.zeros(len(DENSITY_EDGES) + 1, jnp.int32).at[bin_F].add(1)


def train_on(
  c: settings.Dictionary,
  due: int,
  steps: int,
  dot: Dot,
  step: jax.Array,
  rows: Rows,
  state: DictionaryState,
) -> tuple[DictionaryState, dict[str, jax.Array]]:
  """Trains one dictionary on all rows of a chunk.

  Args:
    c: settings of the dictionary.
    due: steps between two checks for resampling, see `make_chunk`.
    steps: steps of the whole training.
    dot: the matrix product.
    step: number of steps already done.
    rows: rows of the chunk.
    state: state of the dictionary.

  Returns:
    The state, and the numbers that `make_chunk` describes.
  """
  S, *shape = rows.index_SMGn.shape
  batch_size = math.prod(shape)

  def maybe_resample(
    state: DictionaryState, step: jax.Array
  ) -> tuple[DictionaryState, jax.Array]:
    if not c.resampling.steps:
      return state, jnp.zeros((), jnp.int32)

    @jax.named_scope('resample')
    def redraw(state: DictionaryState) -> tuple[DictionaryState, jax.Array]:
      loss_R = candidate_losses(c, state, rows, batch_size, dot)
      pick = lambda flat_F: (
        rows.pick(flat_F).astype(state.scale.dtype) * state.scale
      )
      x_MNA = jax.vmap(rows.take)(rows.index_SMGn[0])
      x_MNA = x_MNA.astype(state.scale.dtype) * state.scale
      key = jax.random.fold_in(jax.random.key(state.seed), step)
      tx = recipes.of(c).optimizer(c, state.lr)
      return resample(c, tx, state, loss_R, pick, x_MNA, key, dot)

    # `keep` must be the false branch; XLA copies the state in a true branch.
    def keep(state: DictionaryState) -> tuple[DictionaryState, jax.Array]:
      return state, jnp.zeros((), jnp.int32)

    is_due = (step == jnp.asarray(c.resampling.steps, jnp.int32)).any()
    redrawn: tuple[DictionaryState, jax.Array] = jax.lax.cond(
      is_due, redraw, keep, state
    )
    return redrawn

  def run_step(
    carry: tuple[DictionaryState, jax.Array],
    inputs: tuple[jax.Array, jax.Array],
  ) -> tuple[tuple[DictionaryState, jax.Array], dict[str, jax.Array]]:
    state, fired_F = carry
    step, index_MGn = inputs
    pace = optimizer.pace(c, step, steps)
    state, numbers, more_F = train_step(c, state, rows, index_MGn, dot, pace)
    numbers['finite'] = jnp.isfinite(numbers['loss'])
    return (state, fired_F + more_F), numbers

  def run_segment(
    carry: tuple[DictionaryState, jax.Array],
    inputs: tuple[jax.Array, jax.Array],
  ) -> tuple[tuple[DictionaryState, jax.Array], Any]:
    step_S, index_SMGn = inputs
    state, fired_F = carry
    state, resampled = maybe_resample(state, step_S[0])
    carry, numbers = jax.lax.scan(
      run_step, (state, fired_F), (step_S, index_SMGn)
    )
    return carry, (numbers, resampled)

  (state, fired_F), (numbers, resampled) = jax.lax.scan(
    run_segment,
    (state, jnp.zeros_like(state.silent_F)),
    (
      (step + jnp.arange(S, dtype=jnp.int32)).reshape(S // due, due),
      rows.index_SMGn.reshape(S // due, due, *shape),
    ),
  )
  return state, {k: x.reshape(S) for k, x in numbers.items()} | {
    'resampled': resampled,
    'density': density_histogram(fired_F, S * batch_size),
  }


def train_stack(
  one: Callable[[DictionaryState], Any], stack: DictionaryState, how: str
) -> tuple[DictionaryState, dict[str, jax.Array]]:
  """Trains stacked dictionaries: `one(state) -> (state, numbers)` for each.

  `map` trains them one after another, each for the whole chunk. Temporaries are
  held for one dictionary only, and its weights are sliced from the stack once
  per chunk. `vmap` trains all at once.
  """
  Z = stack.l1.size
  trained: tuple[DictionaryState, dict[str, jax.Array]]
  if how == 'vmap':
    trained = jax.vmap(one)(stack)
    return trained

  def train(
    stack: DictionaryState, z: jax.Array
  ) -> tuple[DictionaryState, dict[str, jax.Array]]:
    state, numbers = one(jax.tree.map(lambda x: x[z], stack))
    return jax.tree.map(lambda x, y: x.at[z].set(y), stack, state), numbers

  trained = jax.lax.scan(train, stack, jnp.arange(Z))
  return trained


def make_chunk(
  c: settings.Stream,
  dictionaries: Mapping[str, settings.Dictionary],
  forward: Callable[..., jax.Array],
) -> jax.stages.Wrapped:
  """Compiles the chunk: forward pass, shuffle, S = R / N training steps.

  Returns:
    `chunk(state, lm, tokens_CT, context_C, epoch_C) -> (state, stats)`, with
    `state`, a `StreamState`, donated. All randomness is folded from seeds and
    the step. stats[name] holds, per step, `loss`, `mse`, `l1_norm`, `l0`,
    `finite` and, on the sparse path, `fallbacks` (see `sparse`); `resampled`,
    the number of features resampled at the first step of each segment of
    S / len(resampled) steps; and `density`, see `density_histogram`.
  """
  S = c.contexts_per_chunk * c.positions_per_context // c.batch_size
  dtype = compute_dtype(c.precision)
  dot = Dot(dtype)

  @jax.jit(donate_argnums=0)
  def chunk(
    state: StreamState,
    lm: Any,
    tokens_CT: jax.Array,
    context_C: jax.Array,
    epoch_C: jax.Array,
  ) -> tuple[StreamState, dict[str, dict[str, jax.Array]]]:
    with jax.named_scope('forward'):
      rows_UGrA = harvest(c, forward, lm, tokens_CT, context_C, epoch_C, dtype)
    with jax.named_scope('shuffle'):
      index_SMGn = shuffled_index(c, state.step // S)
    rows = Rows(rows_UGrA=rows_UGrA, index_SMGn=index_SMGn)
    stacks, stats = {}, {}
    for key, stack in state.stacks.items():
      names = key.split(',')
      d = dictionaries[names[0]]
      # Resampling is checked once per segment, the longest that the schedule
      # allows, since a cond at every step would cost more.
      due = math.gcd(S, *d.resampling.steps)
      one = functools.partial(train_on, d, due, c.steps, dot, state.step, rows)
      with jax.named_scope('train'):
        stacks[key], numbers = train_stack(one, stack, c.stack)
      for z, name in enumerate(names):
        stats[name] = jax.tree.map(lambda x, z=z: x[z], numbers)
    return StreamState(step=state.step + S, stacks=stacks), stats

  return chunk
