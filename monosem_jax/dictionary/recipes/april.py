"""The recipe of https://transformer-circuits.pub/2024/april-update.

Decoder rows may have any norm, which weights the L1 term. The decoder bias is
not subtracted before the encoder. Errors are summed over the A elements:

  f = ReLU(x W_enc + b_enc), recon = f W_dec + b_dec,
  loss = mean over rows of [||x - recon||^2 + l1 * sum_i f_i ||W_dec_i||].

The standard form of these weights has the same reconstructions, and this loss
is A times its loss with the coefficient l1 / A. So the gradient is computed in
the standard form and pulled back through `standard`, once per batch.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from monosem_jax.config import settings
from monosem_jax.config.check.rules import need
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import gradient as standard_gradient, sae as sae_lib
from monosem_jax.dictionary.optimizer import adam
from monosem_jax.dictionary.recipes import Numbers, Recipe
from monosem_jax.dictionary.sae import SAE
from monosem_jax.dictionary.stream import Rows


def check(where: str, c: settings.Dictionary, stream: settings.Stream) -> None:
  """Rejects initialisations that belong to the recipe `paper`."""
  del stream
  need(
    c.init == 'paper',
    f'{where}.init',
    f"the recipe {c.recipe!r} has its own initialisation; leave it at 'paper'.",
  )


def init(c: settings.Dictionary, width: int) -> SAE:
  """Returns random decoder rows of norm `decoder_norm`, see `sae.tied`."""
  key = jax.random.key(c.seed)
  return sae_lib.tied(key, width, c.features, c.decoder_norm)


def standard(sae: SAE, dot: Dot) -> SAE:
  """Converts trained weights to decoder rows of norm 1.

  Features are multiplied by their row's norm. `encode` subtracts the decoder
  bias, so it is first added to the encoder bias by the same product, and both
  cancel without a rounding error.
  """
  norm_F = jnp.linalg.norm(sae.W_dec_FA, axis=1)
  W_enc_AF = sae.W_enc_AF * norm_F
  shift_F = dot('a,af->f', sae.b_dec_A, W_enc_AF)
  return dataclasses.replace(
    sae,
    W_enc_AF=W_enc_AF,
    b_enc_F=sae.b_enc_F * norm_F + shift_F,
    W_dec_FA=sae.W_dec_FA / norm_F[:, None],
  )


def gradient(
  c: settings.Dictionary,
  sae: SAE,
  scale: jax.Array,
  l1: jax.Array,
  rows: Rows,
  index_MGn: jax.Array,
  dot: Dot,
) -> tuple[SAE, Numbers, jax.Array]:
  """See `gradient.gradient`; `mse` and `l1_norm` are the standard form's."""
  A = sae.b_dec_A.size
  form, pull = jax.vjp(lambda sae: standard(sae, dot), sae)
  grads, numbers, fired_F = standard_gradient.gradient(
    c, form, scale, l1 / A, rows, index_MGn, dot
  )
  (grads,) = pull(jax.tree.map(lambda x: A * x, grads))
  return grads, numbers | {'loss': A * numbers['loss']}, fired_F


def optimizer(
  c: settings.Dictionary, lr: jax.Array | float
) -> optax.GradientTransformation:
  """Returns Adam, with gradient clipping if it is set."""
  return adam(c, lr)


RECIPE = Recipe(
  check=check,
  init=init,
  gradient=gradient,
  optimizer=optimizer,
  standard=standard,
)
