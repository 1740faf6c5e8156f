"""Logit weights: a feature's direct effect on the logits."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device import mesh as meshes
from monosem_jax.features.table import BINS

# Number of top and of bottom tokens kept for each feature.
_SHOWN = 10


def logit_columns(
  logit_weights: Callable[..., jax.Array],
  lm,
  W_dec_FA: jax.Array,
  block: int = 256,
) -> dict[str, np.ndarray]:
  """The `logit_*` arrays of the feature table.

  Args:
    logit_weights: `logit_weights(lm, rows_FA) -> v_FV`.
    lm: the transformer.
    W_dec_FA: the decoder.
    block: features per block, which bounds the memory of v_FV.
  """

  parts = [
    meshes.fetch(_columns(logit_weights, lm, W_dec_FA[i : i + block]))
    for i in range(0, W_dec_FA.shape[0], block)
  ]
  return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


@jax.jit(static_argnums=0)
def _columns(logit_weights, lm, rows_FA):
  v_FV = logit_weights(lm, rows_FA)
  v_FV = v_FV - jnp.median(v_FV, axis=1, keepdims=True)
  low_F1, high_F1 = v_FV.min(1, keepdims=True), v_FV.max(1, keepdims=True)
  width_F1 = jnp.where(high_F1 > low_F1, high_F1 - low_F1, 1)
  bin_FV = ((v_FV - low_F1) / width_F1 * BINS).astype(jnp.int32)
  bin_FV = jnp.minimum(bin_FV, BINS - 1)
  count = jax.vmap(lambda bins: jnp.bincount(bins, length=BINS))
  top_FL, top_ids_FL = jax.lax.top_k(v_FV, _SHOWN)
  bottom_FL, bottom_ids_FL = jax.lax.top_k(-v_FV, _SHOWN)
  return {
    'logit_top_FL': top_FL,
    'logit_top_ids_FL': top_ids_FL,
    'logit_bottom_FL': -bottom_FL,
    'logit_bottom_ids_FL': bottom_ids_FL,
    'logit_histogram_FH': count(bin_FV),
    'logit_range_F2': jnp.concatenate([low_F1, high_F1], 1),
  }
