"""One training step of one dictionary."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import recipes
from monosem_jax.dictionary.state import DictionaryState
from monosem_jax.dictionary.stream import Rows


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
  recipe = recipes.of(c)
  l1, lr = state.l1 * pace[0], state.lr * pace[1]
  grads, numbers, fired_F = recipe.gradient(
    c, state.sae, state.scale, l1, rows, index_MGn, dot
  )
  with jax.numpy_dtype_promotion('standard'):  # optax mixes its counters in
    updates, opt_state = recipe.optimizer(c, lr).update(
      grads, state.opt_state, state.sae
    )
  sae = optax.apply_updates(state.sae, updates)
  if recipe.constrain is not None:
    sae = recipe.constrain(sae)
  state = dataclasses.replace(
    state,
    sae=sae,
    opt_state=opt_state,
    silent_F=jnp.where(fired_F > 0, 0, state.silent_F + 1),
  )
  numbers['l0'] = fired_F.sum(dtype=state.scale.dtype) / index_MGn.size
  return state, numbers, fired_F
