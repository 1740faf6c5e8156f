"""One training step of one dictionary."""

import jax
import jax.numpy as jnp
import optax

from monosem_jax.config import settings
from monosem_jax.device.mesh import SPECS, constrain
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import recipes, sae as sae_lib, sparse
from monosem_jax.dictionary.sae import SAE
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
  """The gradient of the batch's mean loss, its terms, and fired_F.

  Written out, so that f_NF is held once, as the operand of products that it is:
  it is written, read by decode and by the decoder's gradient, and masks its own
  gradient, which is written and read once more. Sums over rows can go along
  with the products: the TPU compiler puts them there, XLA for NVIDIA does not
  (jax 0.11). It writes what comes out of the two products over f_NF, before
  anything is done to it; so these results are rounded as operands are: on an
  H100 13% more rows a second of A/1's chunk. A product's own terms were rounded
  alike, and the sum with the bias is not.
  """
  N, A = index_MGn.size, sae.b_dec_A.size
  shift_F = sae_lib.shift(sae, dot)

  def add(total, index_Gn):
    x_NA = rows.take(index_Gn).astype(scale.dtype) * scale
    pre_NF = dot.rounded('na,af->nf', x_NA, sae.W_enc_AF)
    f_NF = jax.nn.relu(pre_NF.astype(shift_F.dtype) + shift_F)
    f_NF = constrain(dot.operand(f_NF), SPECS.f_NF)
    error_NA = sae_lib.decode(sae, f_NF, dot) - x_NA
    g_NA = 2 / (N * A) * error_NA
    df_NF = dot.rounded('na,fa->nf', g_NA, sae.W_dec_FA)
    df_NF = df_NF.astype(shift_F.dtype) + l1 / N
    df_NF = dot.operand(jnp.where(f_NF > 0, df_NF, 0))
    df_NF = constrain(df_NF, SPECS.f_NF)
    found = (
      SAE(
        W_enc_AF=dot('na,nf->af', x_NA, df_NF),
        b_enc_F=df_NF.sum(0, dtype=scale.dtype),
        W_dec_FA=dot('nf,na->fa', f_NF, g_NA),
        b_dec_A=g_NA.sum(0),
      ),
      # By features first: in the pass that counts those that fire.
      {
        'mse': jnp.square(error_NA).mean(1).sum(),
        'l1_norm_F': f_NF.sum(0, dtype=scale.dtype),
      },
      # Counted as floats, which are exact up to 2^24 rows: the TPU compiler
      # fuses sums of one dtype alone.
      (f_NF > 0).sum(0, dtype=scale.dtype).astype(jnp.int32),
    )
    return jax.tree.map(jnp.add, total, found), None

  (grads, numbers, fired_F), _ = jax.lax.scan(
    add,
    (
      jax.tree.map(jnp.zeros_like, sae),
      {
        'mse': jnp.zeros((), scale.dtype),
        'l1_norm_F': jnp.zeros_like(sae.b_enc_F),
      },
      jnp.zeros(sae.b_enc_F.shape, jnp.int32),
    ),
    index_MGn,
  )
  # Kept apart, or XLA makes one sum of the two: a pass of its own over f_NF.
  l1_norm_F = jax.lax.optimization_barrier(numbers['l1_norm_F'])
  mse, l1_norm = numbers['mse'] / N, l1_norm_F.sum() / N
  # The decoder bias is also taken off in front of the encoder.
  through_A = dot('af,f->a', sae.W_enc_AF, grads.b_enc_F)
  grads = grads.replace(
    W_enc_AF=grads.W_enc_AF - jnp.outer(sae.b_dec_A, grads.b_enc_F),
    b_dec_A=grads.b_dec_A - through_A,
  )
  numbers = {'loss': mse + l1 * l1_norm, 'mse': mse, 'l1_norm': l1_norm}
  return grads, numbers, fired_F
