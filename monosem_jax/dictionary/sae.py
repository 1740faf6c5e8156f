"""The sparse autoencoder: four arrays, encode, decode, loss.

This is the standard form of a dictionary, that of the paper of 2023 (appendix
on autoencoder training).
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

from monosem_jax.device.precision import Dot


@flax.struct.dataclass
class SAE:
  """A dictionary of F features over activations of width A.

  Attributes:
    W_enc_AF: encoder.
    b_enc_F: encoder bias.
    W_dec_FA: decoder, one row per feature.
    b_dec_A: decoder bias.
  """

  W_enc_AF: jax.Array
  b_enc_F: jax.Array
  W_dec_FA: jax.Array
  b_dec_A: jax.Array


def unit_rows(x_FA: jax.Array) -> jax.Array:
  """Divides each row by its L2 norm; a zero row stays zero."""
  norm_F1 = jnp.linalg.norm(x_FA, axis=1, keepdims=True)
  return x_FA / jnp.where(norm_F1 > 0, norm_F1, 1)


def init(key: jax.Array, width: int, features: int) -> SAE:
  """Returns the paper's initialisation: PyTorch's default, unit decoder rows.

  Kaiming-uniform with a = sqrt(5) is U(-1/sqrt(fan_in), 1/sqrt(fan_in)). The
  paper does not state the encoder bias; ours starts at 0. `recipes.paper.start`
  sets the decoder bias to the data's geometric median.
  """
  enc_key, dec_key = jax.random.split(key)
  enc_bound, dec_bound = width**-0.5, features**-0.5
  return SAE(
    W_enc_AF=jax.random.uniform(
      enc_key, (width, features), minval=-enc_bound, maxval=enc_bound
    ),
    b_enc_F=jnp.zeros(features),
    W_dec_FA=unit_rows(
      jax.random.uniform(
        dec_key, (features, width), minval=-dec_bound, maxval=dec_bound
      )
    ),
    b_dec_A=jnp.zeros(width),
  )


def rows_of(acts_BTA: jax.Array) -> jax.Array:
  """Flattens the activations of all tokens to rows: x_NA."""
  return acts_BTA.reshape(-1, acts_BTA.shape[-1])


def tied(key: jax.Array, width: int, features: int, norm: float) -> SAE:
  """Returns random decoder rows of norm `norm`, with the transpose as encoder.

  Biases are 0.
  """
  W_dec_FA = norm * unit_rows(jax.random.normal(key, (features, width)))
  return SAE(
    W_enc_AF=W_dec_FA.T,
    b_enc_F=jnp.zeros(features),
    W_dec_FA=W_dec_FA,
    b_dec_A=jnp.zeros(width),
  )


def encode(sae: SAE, x_NA: jax.Array, dot: Dot) -> jax.Array:
  """Returns f_NF = ReLU((x - b_dec) W_enc + b_enc).

  The decoder bias is subtracted after the product. The result is the same, and
  the backward pass saves a matrix product per batch: the bias's gradient passes
  through a vector of F instead of N x F.
  """
  return jax.nn.relu(dot('na,af->nf', x_NA, sae.W_enc_AF) + shift(sae, dot))


def shift(sae: SAE, dot: Dot) -> jax.Array:
  """Returns shift_F = b_enc - b_dec W_enc, which `encode` adds to x W_enc."""
  return sae.b_enc_F - dot('a,af->f', sae.b_dec_A, sae.W_enc_AF)


def decode(sae: SAE, f_NF: jax.Array, dot: Dot) -> jax.Array:
  """Returns recon_NA = f W_dec + b_dec."""
  return dot('nf,fa->na', f_NF, sae.W_dec_FA) + sae.b_dec_A


def row_losses(
  sae: SAE, x_NA: jax.Array, dot: Dot
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns the two terms of the loss for every row, and the features.

  Returns:
    mse_N, the mean over A of the squared error; l1_norm_N, the sum over F of f
    (before the coefficient); f_NF.
  """
  f_NF = encode(sae, x_NA, dot)
  error_NA = decode(sae, f_NF, dot) - x_NA
  return jnp.square(error_NA).mean(-1), f_NF.sum(-1), f_NF


def fold_scale(sae: SAE, scale: jax.Array) -> SAE:
  """Converts a dictionary trained on scale * x to one that takes x.

  Its features are divided by `scale`; its decoder rows keep norm 1.
  """
  return dataclasses.replace(
    sae, b_enc_F=sae.b_enc_F / scale, b_dec_A=sae.b_dec_A / scale
  )
