"""The gradient of a batch, computed from its active features alone.

A row activates tens of features out of F, but dense products pay for all F in
the decoder and in every gradient. Here only the encoder is dense, to find the
active features. `top_k` takes the active entries, and the rest gathers and
scatters their rows. The result equals that of the dense path up to summation
order. If a row of a micro-batch has more than K active features, `lax.cond`
takes dense products for that micro-batch and counts it.

The decoder and its gradient loop over the K entries, one entry of each row at a
time, up to the largest number in any row. Gathering all entries at once would
hold [N, K, A].
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from monosem_jax.config import settings
from monosem_jax.device.mesh import (
  SPECS,
  mean_over_devices,
  per_device,
  platform,
  specs,
  sum_over_features,
  sum_over_rows,
)
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode

# The smallest F at which this path is faster on a CPU, if few features are
# active. At 4,096 it is 1.6x as fast with 10 active, 1.3x with 20, 0.9x with 50
# (two cores of an AMD EPYC; see also `python -m launch.benchmark scale`). On an
# H100 it is 5 to 32 times slower than dense products, at 131,072 to 512
# features. For a TPU v5e at 32,768 the compiler estimates 20.4 M cycles for a
# dense step; this path takes 16.5 M around the branch and 77 M for the copies
# that `top_k` needs, without its sort. So `auto` is dense on accelerators.
_PAYS_FROM = 4_096
_NUMBERS = ('loss', 'mse', 'l1_norm', 'fallbacks')


def pays(c: settings.Dictionary) -> bool:
  """Returns whether to take this path, by `settings.Dictionary.sparse`."""
  if c.sparse == 'auto':
    return platform() == 'cpu' and c.features >= _PAYS_FROM
  return c.sparse == 'always'


@flax.struct.dataclass
class _Sums:
  """Sums over the micro-batches of a batch, on one device.

  The encoder's gradient is stored by feature, as the decoder's, so that rows
  can be scattered into it.
  """

  W_enc_FA: jax.Array
  b_enc_F: jax.Array
  W_dec_FA: jax.Array
  b_dec_A: jax.Array
  mse: jax.Array
  l1_norm: jax.Array
  fired_F: jax.Array
  fallbacks: jax.Array


def gradient(
  sae: SAE, x_MNA: jax.Array, l1: jax.Array, active: int, dot: Dot
) -> tuple[SAE, dict[str, jax.Array], jax.Array]:
  """Returns the gradient of the mean loss over M micro-batches of N rows.

  Every device works on its own rows and features; one sum at the end combines
  their results.

  Args:
    sae: the dictionary.
    x_MNA: rows, by micro-batch.
    l1: the L1 coefficient.
    active: K, the most active features per row.
    dot: the matrix product. Everything after `top_k` has the weights' dtype.

  Returns:
    The gradient; the means `loss`, `mse`, `l1_norm`, and `fallbacks`, the share
    of micro-batches that took dense products; fired_F.
  """
  weights, one = specs(sae), SPECS.replicated
  rows = x_MNA.shape[0] * x_MNA.shape[1]
  found: tuple[SAE, dict[str, jax.Array], jax.Array] = per_device(
    lambda sae, x_MNA, l1: _on_device(sae, x_MNA, l1, rows, active, dot),
    in_specs=(weights, SPECS.x_MNA, one),
    out_specs=(weights, dict.fromkeys(_NUMBERS, one), SPECS.b_enc_F),
  )(sae, x_MNA, l1)
  return found


def _on_device(
  sae: SAE, x_MNA: jax.Array, l1: jax.Array, rows: int, active: int, dot: Dot
) -> tuple[SAE, dict[str, jax.Array], jax.Array]:
  K = min(active, sae.b_enc_F.size)
  zero = jnp.zeros((), x_MNA.dtype)

  def add(sums: _Sums, x_NA: jax.Array) -> tuple[_Sums, None]:
    f_NF = encode(sae, x_NA, dot)
    active_NF = f_NF > 0
    most = active_NF.sum(1, dtype=jnp.int32).max()
    fits = most <= K

    def decode() -> tuple[jax.Array, jax.Array, jax.Array]:
      value_NK, index_NK = jax.lax.top_k(f_NF, K)
      value_KN, index_KN = value_NK.T, index_NK.T

      def add_entry(k: jax.Array, recon_NA: jax.Array) -> jax.Array:
        return recon_NA + value_KN[k][:, None] * sae.W_dec_FA[index_KN[k]]

      recon_NA = jax.lax.fori_loop(0, most, add_entry, jnp.zeros_like(x_NA))
      return recon_NA, value_KN, index_KN

    def dense_decode() -> tuple[jax.Array, jax.Array, jax.Array]:
      none_KN = jnp.zeros((K, x_NA.shape[0]), jnp.int32)
      recon_NA = dot('nf,fa->na', f_NF, sae.W_dec_FA)
      return recon_NA, none_KN.astype(f_NF.dtype), none_KN

    part_NA, value_KN, index_KN = jax.lax.cond(fits, decode, dense_decode)
    error_NA = sum_over_features(part_NA) + sae.b_dec_A - x_NA
    g_NA = 2 / (rows * x_NA.shape[1]) * error_NA
    input_NA = x_NA - sae.b_dec_A

    def backward() -> _Sums:
      def add_entry(k: jax.Array, sums: _Sums) -> _Sums:
        value_N, index_N = value_KN[k], index_KN[k]
        df_N = (sae.W_dec_FA[index_N] * g_NA).sum(1) + l1 / rows
        df_N = jnp.where(value_N > 0, df_N, 0)  # a row may have fewer than K
        return dataclasses.replace(
          sums,
          W_enc_FA=sums.W_enc_FA.at[index_N].add(df_N[:, None] * input_NA),
          b_enc_F=sums.b_enc_F.at[index_N].add(df_N),
          W_dec_FA=sums.W_dec_FA.at[index_N].add(value_N[:, None] * g_NA),
        )

      added: _Sums = jax.lax.fori_loop(0, most, add_entry, sums)
      return added

    def dense_backward() -> _Sums:
      df_NF = dot('na,fa->nf', g_NA, sae.W_dec_FA) + l1 / rows
      df_NF = jnp.where(active_NF, df_NF, 0)
      return dataclasses.replace(
        sums,
        W_enc_FA=sums.W_enc_FA + dot('nf,na->fa', df_NF, input_NA),
        b_enc_F=sums.b_enc_F + df_NF.sum(0),
        W_dec_FA=sums.W_dec_FA + dot('nf,na->fa', f_NF, g_NA),
      )

    sums = jax.lax.cond(fits, backward, dense_backward)
    return dataclasses.replace(
      sums,
      b_dec_A=sums.b_dec_A + g_NA.sum(0),
      mse=sums.mse + jnp.square(error_NA).mean(1).sum(),
      l1_norm=sums.l1_norm + f_NF.sum(),
      fired_F=sums.fired_F + active_NF.sum(0, dtype=jnp.int32),
      fallbacks=sums.fallbacks + jnp.where(fits, 0, 1).astype(zero.dtype),
    ), None

  sums, _ = jax.lax.scan(
    add,
    _Sums(
      W_enc_FA=jnp.zeros_like(sae.W_dec_FA),
      b_enc_F=jnp.zeros_like(sae.b_enc_F),
      W_dec_FA=jnp.zeros_like(sae.W_dec_FA),
      b_dec_A=jnp.zeros_like(sae.b_dec_A),
      mse=zero,
      l1_norm=zero,
      fired_F=jnp.zeros(sae.b_enc_F.shape, jnp.int32),
      fallbacks=zero,
    ),
    x_MNA,
  )
  sums = sum_over_rows(sums)
  # The decoder bias is also subtracted before the encoder.
  through_A = dot('af,f->a', sae.W_enc_AF, sums.b_enc_F)
  mse, l1_norm = sums.mse / rows, sum_over_features(sums.l1_norm) / rows
  grads = SAE(
    W_enc_AF=sums.W_enc_FA.T,
    b_enc_F=sums.b_enc_F,
    W_dec_FA=sums.W_dec_FA,
    b_dec_A=sums.b_dec_A - sum_over_features(through_A),
  )
  numbers = {
    'loss': mse + l1 * l1_norm,
    'mse': mse,
    'l1_norm': l1_norm,
    'fallbacks': mean_over_devices(sums.fallbacks) / x_MNA.shape[0],
  }
  return grads, numbers, sums.fired_F
