"""One training step of one dictionary."""

import jax
import jax.numpy as jnp
import optax

from monosem_jax import settings
from monosem_jax.dictionary import recipes, sae as sae_lib, sparse
from monosem_jax.dictionary.sae import SAE
from monosem_jax.dictionary.state import DictionaryState
from monosem_jax.dictionary.stream import Rows
from monosem_jax.mesh import SPECS, constrain
from monosem_jax.precision import Dot


def train_step(
  c: settings.Dictionary,
  state: DictionaryState,
  rows: Rows,
  index_MGn: jax.Array,
  dot: Dot,
  pace: tuple[jax.Array | float, jax.Array | float] = (1.0, 1.0),
) -> tuple[DictionaryState, dict[str, jax.Array], jax.Array]:
  """One step of one dictionary on the batch that `index_MGn` names.

  The batch is summed over M micro-batches: exactly the whole batch's gradient,
  with N / M rows of f_NF held at a time.

  Args:
    c: its settings.
    state: its state.
    rows: the chunk's.
    index_MGn: of them, those of the batch, by micro-batch.
    dot: the matrix product.
    pace: what the L1 coefficient and the learning rate are multiplied with.

  Returns:
    The state; the step's numbers (means over the batch: `loss`, as the recipe
    has it, `mse`, also over elements, `l1_norm`, `l0`; on the sparse path also
    `fallbacks`, see `sparse`); fired_F, how many of the batch's rows each
    feature fired on.
  """
  N = index_MGn.size
  errors = recipes.error_elements(c, state.sae.b_dec_A.size)
  l1, lr = state.l1 * pace[0], state.lr * pace[1]
  sae, pull = jax.vjp(lambda sae: recipes.standard(c, sae, dot), state.sae)
  if sparse.pays(c):
    x_MNA = jax.vmap(rows.take)(index_MGn).astype(state.scale.dtype)
    grads, numbers, fired_F = sparse.gradient(
      sae, x_MNA * state.scale, l1 / errors, c.sparse_active, dot
    )
  else:
    grads, numbers, fired_F = _dense_gradient(
      sae, state.scale, l1 / errors, rows, index_MGn, dot
    )
  (grads,) = pull(jax.tree.map(lambda x: errors * x, grads))
  with jax.numpy_dtype_promotion('standard'):  # optax mixes its counters in
    updates, opt_state = recipes.optimizer(c, lr).update(
      grads, state.opt_state, state.sae
    )
  state = state.replace(
    sae=recipes.constrain_norms(c, optax.apply_updates(state.sae, updates)),
    opt_state=opt_state,
    silent_F=jnp.where(fired_F > 0, 0, state.silent_F + 1),
  )
  numbers['loss'] *= errors
  numbers['l0'] = fired_F.sum(dtype=state.scale.dtype) / N
  return state, numbers, fired_F


def _dense_gradient(
  sae: SAE,
  scale: jax.Array,
  l1: jax.Array,
  rows: Rows,
  index_MGn: jax.Array,
  dot: Dot,
) -> tuple[SAE, dict[str, jax.Array], jax.Array]:
  """The gradient of the batch's mean loss, its terms, and fired_F."""
  N = index_MGn.size

  def loss(sae: SAE, x_NA: jax.Array):
    mse_N, l1_norm_N, f_NF = sae_lib.row_losses(sae, x_NA, dot)
    active_NF = constrain(f_NF > 0, SPECS.f_NF)
    mse, l1_norm = mse_N.sum() / N, l1_norm_N.sum() / N
    total = mse + l1 * l1_norm
    return total, ({'loss': total, 'mse': mse, 'l1_norm': l1_norm}, active_NF)

  def add(total, index_Gn):
    x_NA = rows.take(index_Gn).astype(scale.dtype) * scale
    (_, (numbers, active_NF)), grads = jax.value_and_grad(loss, has_aux=True)(
      sae, x_NA
    )
    fired_F = active_NF.sum(0, dtype=jnp.int32)
    return jax.tree.map(jnp.add, total, (grads, numbers, fired_F)), None

  zero = jnp.zeros((), scale.dtype)
  total, _ = jax.lax.scan(
    add,
    (
      jax.tree.map(jnp.zeros_like, sae),
      {'loss': zero, 'mse': zero, 'l1_norm': zero},
      jnp.zeros(sae.b_enc_F.shape, jnp.int32),
    ),
    index_MGn,
  )
  return total
