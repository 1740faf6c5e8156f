"""Training dictionaries: everything between two checkpoints in one call."""

import functools
import math
from collections.abc import Callable, Mapping

import flax.struct
import jax
import jax.numpy as jnp
import optax

from monosem_jax import settings
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.dictionary.resample import resample
from monosem_jax.dictionary.sae import SAE
from monosem_jax.dictionary.stream import Rows, harvest, shuffled_index
from monosem_jax.mesh import SPECS, constrain
from monosem_jax.precision import Dot, compute_dtype

# Quarter-decades of log10 density from 1e-8 to 1; the first bin has the rest.
DENSITY_EDGES = tuple(x / 4 for x in range(-32, 1))


@flax.struct.dataclass
class DictionaryState:
  """Everything a training step changes of one dictionary.

  Attributes:
    sae: the weights.
    opt_state: Adam's.
    silent_F: steps since each feature last fired, int32.
    l1: the L1 coefficient in force.
    scale: what rows are multiplied with first; 1 unless normalised.
  """

  sae: SAE
  opt_state: optax.OptState
  silent_F: jax.Array
  l1: jax.Array
  scale: jax.Array


@flax.struct.dataclass
class StreamState:
  """The state of a chunk: the dictionaries that share a stream.

  The step is shared, so that "is a resampling due" stays one scalar.
  """

  step: jax.Array
  dictionaries: dict[str, DictionaryState]


def drop_parallel() -> optax.GradientTransformation:
  """Removes from each decoder row's gradient its part along the row.

  g_i -= (g_i . d_i) d_i for unit rows d_i (as the paper): the step then does
  not spend itself on a norm that is put back to 1 behind it.
  """

  def update(grads: SAE, state, params: SAE):
    g_FA, d_FA = grads.W_dec_FA, params.W_dec_FA
    along_F1 = (g_FA * d_FA).sum(1, keepdims=True)
    return grads.replace(W_dec_FA=g_FA - along_F1 * d_FA), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def optimizer(c: settings.Dictionary) -> optax.GradientTransformation:
  """Adam on gradients freed of their part along each dictionary row."""
  return optax.chain(drop_parallel(), optax.adam(c.lr, b1=c.beta1, b2=c.beta2))


def init(c: settings.Dictionary, width: int) -> DictionaryState:
  """A state before it has seen data; see `init.start` for what data fixes."""
  sae = sae_lib.init(jax.random.key(c.seed), width, c.features)
  return DictionaryState(
    sae=sae,
    opt_state=optimizer(c).init(sae),
    silent_F=jnp.zeros(c.features, jnp.int32),
    l1=jnp.asarray(c.l1, sae.b_enc_F.dtype),
    scale=jnp.ones((), sae.b_enc_F.dtype),
  )


def train_step(
  c: settings.Dictionary,
  state: DictionaryState,
  rows: Rows,
  index_MGn: jax.Array,
  dot: Dot,
) -> tuple[DictionaryState, dict[str, jax.Array], jax.Array]:
  """One step of one dictionary on the batch that `index_MGn` names.

  The batch is summed over M micro-batches: exactly the whole batch's gradient,
  with N / M rows of f_NF held at a time.

  Returns:
    The state; the step's numbers (means over the batch); fired_F, how many of
    the batch's rows each feature fired on.
  """
  N = index_MGn.size

  def loss(sae: SAE, x_NA: jax.Array):
    mse_N, l1_norm_N, f_NF = sae_lib.row_losses(sae, x_NA, dot)
    active_NF = constrain(f_NF > 0, SPECS.f_NF)
    mse, l1_norm = mse_N.sum() / N, l1_norm_N.sum() / N
    total = mse + state.l1 * l1_norm
    return total, ({'loss': total, 'mse': mse, 'l1_norm': l1_norm}, active_NF)

  def add(total, index_Gn):
    x_NA = rows.take(index_Gn).astype(state.scale.dtype) * state.scale
    (_, (numbers, active_NF)), grads = jax.value_and_grad(loss, has_aux=True)(
      state.sae, x_NA
    )
    fired_F = active_NF.sum(0, dtype=jnp.int32)
    return jax.tree.map(jnp.add, total, (grads, numbers, fired_F)), None

  zero = jnp.zeros((), state.scale.dtype)
  (grads, numbers, fired_F), _ = jax.lax.scan(
    add,
    (
      jax.tree.map(jnp.zeros_like, state.sae),
      {'loss': zero, 'mse': zero, 'l1_norm': zero},
      jnp.zeros_like(state.silent_F),
    ),
    index_MGn,
  )
  with jax.numpy_dtype_promotion('standard'):  # optax mixes its counters in
    updates, opt_state = optimizer(c).update(grads, state.opt_state, state.sae)
  sae = optax.apply_updates(state.sae, updates)
  state = state.replace(
    sae=sae.replace(W_dec_FA=sae_lib.unit_rows(sae.W_dec_FA)),
    opt_state=opt_state,
    silent_F=jnp.where(fired_F > 0, 0, state.silent_F + 1),
  )
  numbers['l0'] = fired_F.sum(dtype=zero.dtype) / N
  return state, numbers, fired_F


def candidate_losses(
  c: settings.Dictionary, state: DictionaryState, rows: Rows, N: int, dot: Dot
) -> jax.Array:
  """The loss of the current dictionary on the chunk's first rows: loss_R."""
  batches = c.resampling.candidates // N

  def losses(index_Gn):
    x_NA = rows.take(index_Gn).astype(state.scale.dtype) * state.scale
    mse_N, l1_norm_N, _ = sae_lib.row_losses(state.sae, x_NA, dot)
    if c.resampling.loss == 'mse':
      return mse_N
    return mse_N + state.l1 * l1_norm_N

  index_SMGn = rows.index_SMGn[:batches]
  index_RGn = index_SMGn.reshape(-1, *index_SMGn.shape[2:])
  return jax.lax.map(losses, index_RGn).reshape(-1)


def density_histogram(fired_F: jax.Array, rows: int) -> jax.Array:
  """Features by log10 density over `rows` rows, int32, in DENSITY_EDGES.

  The first bin holds the silent ones and all below the first edge; a feature on
  an edge counts above it.
  """
  log_F = jnp.log10(jnp.maximum(fired_F, 1) / rows)
  bin_F = jnp.searchsorted(jnp.asarray(DENSITY_EDGES), log_F, side='right')
  bin_F = jnp.where(fired_F > 0, bin_F, 0)
  return jnp.zeros(len(DENSITY_EDGES) + 1, jnp.int32).at[bin_F].add(1)


def make_chunk(
  c: settings.Stream,
  dictionaries: Mapping[str, settings.Dictionary],
  forward: Callable[..., jax.Array],
) -> Callable:
  """Compiles the chunk: forward, shuffle, S = R / N training steps.

  Returns:
    `chunk(state, lm, tokens_CT, context_C, epoch_C) -> (state, stats)`, with
    `state` donated. The only randomness is folded from the seed and the chunk's
    number, which the step gives. stats[name] holds, per step, `loss`, `mse`,
    `l1_norm`, `l0`, `finite`; per segment, `resampled` (the first step of each
    being s * S / len(resampled)); and `density`, see `density_histogram`.
  """
  R = c.contexts_per_chunk * c.positions_per_context
  S = R // c.batch_size
  dtype = compute_dtype(c.precision)
  dot = Dot(dtype)
  # Resampling is asked for at the head of segments, as long as the schedules
  # allow: a cond at every step would cost more.
  due_steps = {s for d in dictionaries.values() for s in d.resampling.steps}
  segment = math.gcd(S, *due_steps)

  def maybe_resample(name, state, step, rows):
    d = dictionaries[name]
    if not d.resampling.steps:
      return state, jnp.zeros((), jnp.int32)
    key = jax.random.fold_in(jax.random.key(d.seed), step)

    def redraw(state):
      loss_R = candidate_losses(d, state, rows, c.batch_size, dot)
      pick = lambda flat_F: (
        rows.pick(flat_F).astype(state.scale.dtype) * state.scale
      )
      return resample(d.resampling, optimizer(d), state, loss_R, pick, key)

    def keep(state):  # the false branch: the other way round XLA copies
      return state, jnp.zeros((), jnp.int32)

    due = (step == jnp.asarray(d.resampling.steps, jnp.int32)).any()
    return jax.lax.cond(due, redraw, keep, state)

  def run_step(rows, carry, index_MGn):
    state, fired = carry
    new, stats = {}, {}
    for name, d in dictionaries.items():
      new[name], numbers, fired_F = train_step(
        d, state.dictionaries[name], rows, index_MGn, dot
      )
      numbers['finite'] = jnp.isfinite(numbers['loss'])
      fired = fired | {name: fired[name] + fired_F}
      stats[name] = numbers
    state = StreamState(step=state.step + 1, dictionaries=new)
    return (state, fired), stats

  def run_segment(rows, carry, index_SMGn):
    state, fired = carry
    new, resampled = {}, {}
    for name, d_state in state.dictionaries.items():
      new[name], resampled[name] = maybe_resample(
        name, d_state, state.step, rows
      )
    carry, stats = jax.lax.scan(
      functools.partial(run_step, rows),
      (state.replace(dictionaries=new), fired),
      index_SMGn,
    )
    return carry, (stats, resampled)

  @jax.jit(donate_argnums=0)
  def chunk(state: StreamState, lm, tokens_CT, context_C, epoch_C):
    rows = Rows(
      rows_UGrA=harvest(c, forward, lm, tokens_CT, context_C, epoch_C, dtype),
      index_SMGn=shuffled_index(c, state.step // S),
    )
    fired = {
      name: jnp.zeros_like(d.silent_F) for name, d in state.dictionaries.items()
    }
    shape = rows.index_SMGn.shape
    (state, fired), (stats, resampled) = jax.lax.scan(
      functools.partial(run_segment, rows),
      (state, fired),
      rows.index_SMGn.reshape(S // segment, segment, *shape[1:]),
    )
    stats = {
      name: {k: v.reshape(S) for k, v in numbers.items()}
      | {
        'resampled': resampled[name],
        'density': density_histogram(fired[name], R),
      }
      for name, numbers in stats.items()
    }
    return state, stats

  return chunk
