"""The gradient of a batch at the cost of its active features alone.

A row fires some tens of features out of F, but the dense products pay for all
of them in the decoder and in every gradient. Here the encoder is dense (which
features fire has to be found out), the active entries are taken by `top_k`, and
what follows gathers and scatters the rows of those. The result is the dense
path's up to summation order: a micro-batch in which some row has more than K
active features takes dense products instead (`lax.cond`), and is counted.

The decoder and its gradient walk over the K entries, one of each row at a time,
as far as any row has them: gathering all at once would hold [N, K, A].
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

# The size from which it is faster on a CPU, if few features are active: at
# 4,096 by 1.6x with 10 of them, 1.3x with 20, 0.9x with 50 (two cores of an AMD
# EPYC; more sizes: `python -m launch.benchmark scale`). An H100 is 5 to 32
# times slower than with dense products, at 131,072 to 512 features. For a TPU
# v5e at 32,768 the compiler estimates 20.4 M cycles for a dense step; this one
# takes 16.5 M around the branch and 77 M for the copies that `top_k` needs, its
# sort left out. So `auto` is dense on accelerators.
_PAYS_FROM = 4_096
_NUMBERS = ('loss', 'mse', 'l1_norm', 'fallbacks')


def pays(c: settings.Dictionary) -> bool:
  """Whether a dictionary is trained this way (`settings.Dictionary.sparse`)."""
  if c.sparse == 'auto':
    return platform() == 'cpu' and c.features >= _PAYS_FROM
  return c.sparse == 'always'


@flax.struct.dataclass
class _Sums:
  """What the micro-batches of a batch add up, on one device.

  The encoder's gradient is held by features, as the decoder's: rows are added
  to it.
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
  """The gradient of the mean loss over M micro-batches of N rows.

  Every device works on its rows and its features; what they found is summed
  once, at the end.

  Args:
    sae: the dictionary.
    x_MNA: rows, by micro-batch.
    l1: the L1 coefficient.
    active: K, the active features of a row there is room for.
    dot: the matrix product. What follows `top_k` is in the weights' dtype.

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
  # The decoder bias is also taken off in front of the encoder.
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
