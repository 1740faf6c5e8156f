"""The gradient of a batch's mean loss for a dictionary in standard form."""

from typing import Any

import jax
import jax.numpy as jnp

from monosem_jax.config import settings
from monosem_jax.device.mesh import SPECS, constrain
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib, sparse
from monosem_jax.dictionary.sae import SAE
from monosem_jax.dictionary.stream import Rows


def gradient(
  c: settings.Dictionary,
  sae: SAE,
  scale: jax.Array,
  l1: jax.Array,
  rows: Rows,
  index_MGn: jax.Array,
  dot: Dot,
) -> tuple[SAE, dict[str, jax.Array], jax.Array]:
  """Returns the gradient of mse + l1 * l1_norm, the loss of `sae.row_losses`.

  Args:
    c: settings of the dictionary.
    sae: its weights.
    scale: factor that multiplies rows first.
    l1: L1 coefficient of this step.
    rows: rows of the chunk.
    index_MGn: indices of the batch's rows, by micro-batch.
    dot: the matrix product.

  Returns:
    The gradient; the means over the batch `loss`, `mse` (over elements as well)
    and `l1_norm`, and on the sparse path `fallbacks` (see `sparse`); fired_F,
    the number of rows of the batch that each feature is active on.
  """
  if sparse.pays(c):
    x_MNA = jax.vmap(rows.take)(index_MGn).astype(scale.dtype)
    return sparse.gradient(sae, x_MNA * scale, l1, c.sparse_active, dot)
  return _dense(sae, scale, l1, rows, index_MGn, dot)


def _dense(
  sae: SAE,
  scale: jax.Array,
  l1: jax.Array,
  rows: Rows,
  index_MGn: jax.Array,
  dot: Dot,
) -> tuple[SAE, dict[str, jax.Array], jax.Array]:
  """Computes `gradient` by dense products, with the backward pass written out.

  f_NF is held once, in the operands' dtype. It is written once, read by decode
  and by the decoder's gradient, and masks its own gradient, which is written
  and read once more. The TPU compiler fuses the sums over rows into the
  products; XLA for NVIDIA does not (jax 0.11). It also writes the results of
  the two products that make arrays of f_NF's size before it does anything else,
  so these results are rounded to the operands' dtype: 13% more rows per second
  of A/1's chunk on an H100. The products' operands have the same rounding; the
  sum with the bias is not rounded.
  """
  N, A = index_MGn.size, sae.b_dec_A.size
  shift_F = sae_lib.shift(sae, dot)

  def add(total: Any, index_Gn: jax.Array) -> tuple[Any, None]:
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
      # Summed per feature first, in the pass that counts firings.
      {
        'mse': jnp.square(error_NA).mean(1).sum(),
        'l1_norm_F': f_NF.sum(0, dtype=scale.dtype),
      },
      # Float counts are exact up to 2^24 rows; the TPU compiler only fuses sums
      # of one dtype.
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
  # Without the barrier, XLA merges both sums into an extra pass over f_NF.
  l1_norm_F = jax.lax.optimization_barrier(numbers['l1_norm_F'])
  mse, l1_norm = numbers['mse'] / N, l1_norm_F.sum() / N
  # The decoder bias is also subtracted before the encoder.
  through_A = dot('af,f->a', sae.W_enc_AF, grads.b_enc_F)
  grads = grads.replace(
    W_enc_AF=grads.W_enc_AF - jnp.outer(sae.b_dec_A, grads.b_enc_F),
    b_dec_A=grads.b_dec_A - through_A,
  )
  numbers = {'loss': mse + l1 * l1_norm, 'mse': mse, 'l1_norm': l1_norm}
  return grads, numbers, fired_F
