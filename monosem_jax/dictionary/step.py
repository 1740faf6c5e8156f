"""One training step of one dictionary."""

import jax
import jax.numpy as jnp
import optax

from monosem_jax import settings
from monosem_jax.dictionary import sae as sae_lib, sparse
from monosem_jax.dictionary.sae import SAE
from monosem_jax.dictionary.state import DictionaryState, optimizer
from monosem_jax.dictionary.stream import Rows
from monosem_jax.mesh import SPECS, constrain
from monosem_jax.precision import Dot


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
    The state; the step's numbers (means over the batch; on the sparse path also
    `fallbacks`, see `sparse`); fired_F, how many of the batch's rows each
    feature fired on.
  """
  N = index_MGn.size
  if sparse.pays(c):
    x_MNA = jax.vmap(rows.take)(index_MGn).astype(state.scale.dtype)
    grads, numbers, fired_F = sparse.gradient(
      state.sae, x_MNA * state.scale, state.l1, c.sparse_active, dot
    )
  else:
    grads, numbers, fired_F = _dense_gradient(state, rows, index_MGn, dot)
  with jax.numpy_dtype_promotion('standard'):  # optax mixes its counters in
    updates, opt_state = optimizer(c, state.lr).update(
      grads, state.opt_state, state.sae
    )
  sae = optax.apply_updates(state.sae, updates)
  state = state.replace(
    sae=sae.replace(W_dec_FA=sae_lib.unit_rows(sae.W_dec_FA)),
    opt_state=opt_state,
    silent_F=jnp.where(fired_F > 0, 0, state.silent_F + 1),
  )
  numbers['l0'] = fired_F.sum(dtype=state.scale.dtype) / N
  return state, numbers, fired_F


def _dense_gradient(
  state: DictionaryState, rows: Rows, index_MGn: jax.Array, dot: Dot
) -> tuple[SAE, dict[str, jax.Array], jax.Array]:
  """The gradient of the batch's mean loss, its terms, and fired_F."""
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
  total, _ = jax.lax.scan(
    add,
    (
      jax.tree.map(jnp.zeros_like, state.sae),
      {'loss': zero, 'mse': zero, 'l1_norm': zero},
      jnp.zeros_like(state.silent_F),
    ),
    index_MGn,
  )
  return total
