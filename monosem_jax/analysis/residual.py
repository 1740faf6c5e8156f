"""How much each token's loss rises without a dictionary's reconstruction error.

The forward pass runs with reconstructions in place of activations at all
positions. The result does not depend on any feature. The paper's published data
contain a `residual_loss_ablation` for each token, which does not depend on the
feature either. They do not define it; this is our reading.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

from monosem_jax.analysis.results.arrays import Residuals
from monosem_jax.device import mesh as meshes
from monosem_jax.device.mesh import constrain, f_spec, tokens_spec
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, decode, encode, rows_of


@functools.cache
def _make_losses(losses: Callable, dot: Dot) -> Callable:
  @jax.jit
  def both(lm, sae: SAE, tokens_BT):
    tokens_BT = constrain(tokens_BT, tokens_spec(len(tokens_BT)))

    def reconstruct(acts_BTA):
      x_NA = rows_of(acts_BTA)
      x_NA = x_NA.astype(sae.b_enc_F.dtype)
      f_NF = constrain(encode(sae, x_NA, dot), f_spec(len(x_NA)))
      recon_NA = decode(sae, f_NF, dot).astype(acts_BTA.dtype)
      return recon_NA.reshape(acts_BTA.shape)

    clean = losses(lm, tokens_BT, None)
    return clean, losses(lm, tokens_BT, reconstruct) - clean

  return both


def residual(
  losses: Callable,
  lm,
  sae: SAE,
  dot: Dot,
  context_M: np.ndarray,
  fetch: Callable[[np.ndarray], np.ndarray],
  batch_size: int,
  progress: Callable[[int, int], None],
) -> Residuals:
  """The change of each token's loss with reconstructed activations, nats.

  Args:
    losses: `losses(lm, tokens_BT, patch)`, the loss of each token except the
      first, with patched activations.
    lm: the transformer.
    sae: the dictionary.
    dot: the matrix product.
    context_M: indices of the contexts, in any order, with repetitions.
    fetch: `fetch(context_B) -> tokens_BT`.
    batch_size: contexts per batch.
    progress: called with the contexts done and the total number of contexts.
  """
  context_C = np.unique(context_M).astype(np.int32)
  C, T = context_C.size, fetch(context_C[:1]).shape[1]
  loss_CT = np.full((C, T), np.nan, np.float16)
  residual_CT = np.full((C, T), np.nan, np.float16)
  both, size, waiting = _make_losses(losses, dot), min(batch_size, C), None

  def keep(start: int, result) -> None:
    own = slice(start, start + size)
    loss_CT[own, 1:], residual_CT[own, 1:] = meshes.fetch(result)
    progress(min(start + size, C), C)

  # The last batch starts early enough to have the full size.
  for start in [min(i, C - size) for i in range(0, C, max(size, 1))]:
    result = both(lm, sae, fetch(context_C[start : start + size]))
    if waiting is not None:
      keep(*waiting)
    waiting = start, result
  if waiting is not None:
    keep(*waiting)
  return Residuals(context_C, loss_CT, residual_CT)
