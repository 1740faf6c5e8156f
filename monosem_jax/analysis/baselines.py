"""Baseline reconstructions that use as many numbers per token as a dictionary.

A dictionary with an L0 of k describes an activation by k numbers and by the
choice of features. So do the baselines, which are fitted as well:

  neurons   the k largest neurons of a token, or those farthest from their means
  pca, ica  the k components of a token that contribute most, with their signs
  random    random directions that fire as often as the features do, with the
            decoder that fits them best

The comparison is ours; the paper reports loss recovered for dictionaries only.
The controls of `analysis.controls` would not serve here. They are one-sided
features, whose sum reconstructs little whatever their directions are, and all
neurons together reconstruct everything.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, decode, encode

# Ridge added to the diagonal of the least squares, relative to the mean square
# of the features. It gives features that never fire a row of zeros.
RIDGE = 1e-6


@flax.struct.dataclass
class SparseBasis:
  """A basis of F directions, of which k are kept for each token.

  s = (x - offset) W_enc. For each token the k entries with the largest |s|
  times the norm of their row of W_dec are kept, and recon = offset + s_kept
  W_dec.

  Attributes:
    W_enc_AF: maps activations to coefficients; W_dec W_enc is the identity.
    W_dec_FA: the directions. They need not be orthogonal, which is why
      coefficients are weighted by the norms of the rows.
    offset_A: the reconstruction if nothing is kept.
    k: number of coefficients kept.
  """

  W_enc_AF: jax.Array
  W_dec_FA: jax.Array
  offset_A: jax.Array
  k: int = flax.struct.field(pytree_node=False)


def neurons(offset_A: np.ndarray, k: int) -> SparseBasis:
  """The k neurons of each token that are farthest from `offset_A`.

  All other neurons are set to the offset. With zeros, these are the k largest
  neurons; with means, an unusually silent neuron counts as well. Neither choice
  is stronger in every respect: if mean ablation costs more loss than zero
  ablation, zeros recover more of the loss and means explain more of the
  variance. So both are measured.

  Args:
    offset_A: zeros, or the means over a sample of tokens.
    k: number of neurons kept, at most A.
  """
  eye_AA: Any = np.eye(offset_A.size, dtype=np.float32)
  taken_off_A: Any = offset_A.astype(np.float32)
  return SparseBasis(eye_AA, eye_AA, taken_off_A, k)


def components(control: SAE, k: int) -> SparseBasis:
  """The k principal or independent components that contribute most, by token.

  Args:
    control: components from `analysis.controls`, about the mean.
    k: number of components kept, at most their number.
  """
  return SparseBasis(control.W_enc_AF, control.W_dec_FA, control.b_dec_A, k)


def reconstruct(
  d: SAE | SparseBasis, x_NA: jax.Array, dot: Dot
) -> tuple[jax.Array, jax.Array]:
  """f_NF and recon_NA of a dictionary or a basis; f of a basis has signs."""
  if isinstance(d, SAE):
    f_NF = encode(d, x_NA, dot)
    return f_NF, decode(d, f_NF, dot)
  s_NF = dot('na,af->nf', x_NA - d.offset_A, d.W_enc_AF)
  weight_NF = jnp.abs(s_NF) * jnp.linalg.norm(d.W_dec_FA, axis=1)
  _, kept_Nk = jax.lax.top_k(weight_NF, d.k)
  row_N1 = jnp.arange(len(s_NF))[:, None]
  f_NF = jnp.zeros_like(s_NF).at[row_N1, kept_Nk].set(s_NF[row_N1, kept_Nk])
  return f_NF, dot('nf,fa->na', f_NF, d.W_dec_FA) + d.offset_A


def gram_bytes(features: int) -> int:
  """Bytes of the largest matrix in `refit`."""
  return 8 * features**2


def refit(sae: SAE, x_NA: np.ndarray, dot: Dot, block: int = 2_048) -> SAE:
  """Keeps the features and refits the decoder to them.

  W_dec and b_dec become the float64 least-squares fit of x from f over the
  sample; rows no longer have norm 1. Features fire as before: `encode`
  subtracts b_dec, so b_enc absorbs its change.

  Args:
    sae: the dictionary whose features are kept.
    x_NA: a sample of activations.
    dot: the matrix product of the encoder.
    block: rows per block; memory use is that of a block plus a few times
      `gram_bytes`.
  """
  F, A = sae.W_dec_FA.shape
  # An additional feature is always 1; its row is the decoder bias.
  gram_FF, product_FA = np.zeros((F + 1, F + 1)), np.zeros((F + 1, A))
  of = jax.jit(lambda sae, x_NA: encode(sae, x_NA, dot))
  for i in range(0, len(x_NA), block):
    own_NA = x_NA[i : i + block]
    f_NF = np.asarray(of(sae, jnp.asarray(own_NA, jnp.float32)), np.float64)
    f_NF = np.concatenate([f_NF, np.ones((len(f_NF), 1))], 1)
    gram_FF += f_NF.T @ f_NF
    product_FA += f_NF.T @ own_NA.astype(np.float64)
  diagonal_F = np.diagonal(gram_FF)[:-1]
  gram_FF[np.arange(F), np.arange(F)] += RIDGE * (diagonal_F.mean() or 1)
  W_FA: Any = np.linalg.solve(gram_FF, product_FA).astype(np.float32)
  # `encode` subtracts b_dec in the same precision.
  taken_off = lambda b_A: np.asarray(dot('a,af->f', b_A, sae.W_enc_AF))
  shift_F = taken_off(sae.b_dec_A) - taken_off(W_FA[-1])
  b_enc_F: Any = np.asarray(sae.b_enc_F) - shift_F
  return dataclasses.replace(
    sae, W_dec_FA=W_FA[:-1], b_dec_A=W_FA[-1], b_enc_F=b_enc_F
  )
