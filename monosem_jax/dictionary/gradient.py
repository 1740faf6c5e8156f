"""The gradient of a batch's mean loss, of a dictionary in the standard form."""

from collections.abc import Callable
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
  """The gradient of mse + l1 * l1_norm, the loss that `sae.row_losses` makes.

  Args:
    c: the dictionary's settings.
    sae: its weights.
    scale: what rows are multiplied with first.
    l1: the L1 coefficient of this step.
    rows: the chunk's.
    index_MGn: of them, those of the batch, by micro-batch.
    dot: the matrix product.

  Returns:
    The gradient; the means over the batch `loss`, `mse` (over elements, too)
    and `l1_norm`, on the sparse path also `fallbacks`, see `sparse`; fired_F,
    on how many of the batch's rows each feature is active.
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
  """As `gradient`, by dense products.

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
  apart: Callable[[jax.Array], jax.Array] = jax.lax.optimization_barrier
  l1_norm_F = apart(numbers['l1_norm_F'])
  mse, l1_norm = numbers['mse'] / N, l1_norm_F.sum() / N
  # The decoder bias is also taken off in front of the encoder.
  through_A = dot('af,f->a', sae.W_enc_AF, grads.b_enc_F)
  grads = grads.replace(
    W_enc_AF=grads.W_enc_AF - jnp.outer(sae.b_dec_A, grads.b_enc_F),
    b_dec_A=grads.b_dec_A - through_A,
  )
  numbers = {'loss': mse + l1 * l1_norm, 'mse': mse, 'l1_norm': l1_norm}
  return grads, numbers, fired_F
