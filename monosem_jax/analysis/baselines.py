"""Reconstructions that a dictionary has to beat, at as many numbers a token.

A dictionary of L0 = k says an activation with k numbers and its choice of which
features these are. What else says it with k numbers, and was fitted too?

  neurons   the k largest neurons of a token, or those farthest from their means
  pca, ica  the k components of a token that weigh most, with their signs
  random    random directions that fire as often as the features do, and the
            decoder that is best for them

The comparison is ours; the paper has loss recovered of dictionaries alone. The
forms that `analysis.controls` gives these directions are features, which fire
on one side: a sum of those rebuilds little, whatever the directions are, and
all neurons at once rebuild everything.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, decode, encode

# A share of the mean square of features, which is added to the diagonal of the
# least squares: so that features that fire on nothing have a row, of zeros.
RIDGE = 1e-6


@flax.struct.dataclass
class SparseBasis:
  """F directions, of which each token keeps k with their signs.

  s = (x - offset) W_enc; of each token the k entries with the largest |s| times
  the norm of their row of W_dec are kept; recon = offset + kept s W_dec.

  Attributes:
    W_enc_AF, W_dec_FA: inverses of each other as far as F directions go. They
      need not be orthogonal; that is why rows are weighed by their norms.
    offset_A: what stands for all that is not kept.
    k: how many are kept.
  """

  W_enc_AF: jax.Array
  W_dec_FA: jax.Array
  offset_A: jax.Array
  k: int = flax.struct.field(pytree_node=False)


def neurons(offset_A: np.ndarray, k: int) -> SparseBasis:
  """The k neurons of each token that are farthest from `offset_A`.

  The others stand at it. About zero these are the k largest neurons; about the
  means a neuron that is unusually silent counts as well. Neither is stronger in
  all: where mean ablation costs more loss than zero ablation, the first recover
  more of the loss, and the second explain more of the variance. Both are
  measured.

  Args:
    offset_A: zeros, or the means over a sample of tokens.
    k: at most A.
  """
  eye_AA: Any = np.eye(offset_A.size, dtype=np.float32)
  taken_off_A: Any = offset_A.astype(np.float32)
  return SparseBasis(eye_AA, eye_AA, taken_off_A, k)


def components(control: SAE, k: int) -> SparseBasis:
  """The k principal or independent components that weigh most, by token.

  Args:
    control: of `analysis.controls`, about the mean.
    k: at most the number of components.
  """
  return SparseBasis(control.W_enc_AF, control.W_dec_FA, control.b_dec_A, k)


def reconstruct(
  d: SAE | SparseBasis, x_NA: jax.Array, dot: Dot
) -> tuple[jax.Array, jax.Array]:
  """(f_NF, recon_NA) of a dictionary or a basis, whose f may be negative."""
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
  """Bytes of the largest matrix of `refit`."""
  return 8 * features**2


def refit(sae: SAE, x_NA: np.ndarray, dot: Dot, block: int = 2_048) -> SAE:
  """The same features with the decoder that is best for them.

  W_dec and b_dec are the least squares of x from f over the sample, in float64;
  rows are no longer of norm 1. The encoder is unchanged: what b_dec takes off
  an activation moves into b_enc.

  Args:
    sae: whose encoder is kept.
    x_NA: a sample of activations.
    dot: the matrix product of the encoder.
    block: rows at a time; memory is a few times `gram_bytes` beside it.
  """
  F, A = sae.W_dec_FA.shape
  # One more feature, which is always 1: its row is the decoder bias.
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
  # As `encode` takes it off, in the same precision.
  taken_off = lambda b_A: np.asarray(dot('a,af->f', b_A, sae.W_enc_AF))
  shift_F = taken_off(sae.b_dec_A) - taken_off(W_FA[-1])
  b_enc_F: Any = np.asarray(sae.b_enc_F) - shift_F
  return dataclasses.replace(
    sae, W_dec_FA=W_FA[:-1], b_dec_A=W_FA[-1], b_enc_F=b_enc_F
  )
