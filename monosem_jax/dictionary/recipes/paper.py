"""The recipe of the paper of 2023, from its appendix on autoencoder training.

  f = ReLU((x - b_dec) W_enc + b_enc), recon = f W_dec + b_dec,
  loss = mean over rows of [mean over A of (x - recon)^2 + l1 * sum_i f_i],

with decoder rows of norm 1.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from monosem_jax.config import settings
from monosem_jax.config.check.rules import one_of
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import place, sae as sae_lib
from monosem_jax.dictionary.gradient import gradient
from monosem_jax.dictionary.optimizer import adam
from monosem_jax.dictionary.recipes import Recipe
from monosem_jax.dictionary.sae import SAE, unit_rows

# Rows whose products with all features are held at a time.
_BLOCK = 1_024


def check(where: str, c: settings.Dictionary, stream: settings.Stream) -> None:
  """Rejects unknown initialisations."""
  del stream
  one_of(f'{where}.init', c.init, ('paper', 'tied', 'data'))


def init(c: settings.Dictionary, width: int) -> SAE:
  """Returns the weights before they have seen data, by `c.init`.

  `paper`: see `sae.init`. `tied`: see `sae.tied`, with norm 1. `data`: like
  `tied`, but `start` then places every feature on an input.
  """
  key = jax.random.key(c.seed)
  if c.init == 'paper':
    return sae_lib.init(key, width, c.features)
  return sae_lib.tied(key, width, c.features, norm=1.0)


def start(
  c: settings.Dictionary, sae: SAE, x_NA: jax.Array, key: jax.Array, dot: Dot
) -> SAE:
  """Sets the decoder bias to the geometric median of the first `median_rows`.

  With `init='data'` it also places a feature on each of F different rows, drawn
  uniformly (see `place`).
  """
  known_NA = x_NA[: c.median_rows]
  sae = dataclasses.replace(sae, b_dec_A=geometric_median(known_NA))
  if c.init != 'data':
    return sae
  x_FA = x_NA[jax.random.permutation(key, len(x_NA))[: c.features]]
  M = max(len(known_NA) // _BLOCK, 1)
  N = len(known_NA) // M
  x_MNA = known_NA[: M * N].reshape(M, N, -1)
  residual_FA = x_FA - sae.b_dec_A
  return place.on_residuals(sae.b_dec_A, residual_FA, x_MNA, c.fires_on, dot)


def geometric_median(x_NA: jax.Array, iterations: int = 100) -> jax.Array:
  """Returns the point with the least sum of distances to all rows: median_A.

  Weiszfeld's algorithm from the mean: the average of the rows, each weighted by
  the inverse of its distance. A floor under the distances keeps a row at the
  estimate itself from dominating it.
  """
  floor = 1e-6 * jnp.linalg.norm(x_NA, axis=1).mean()

  def closer(_: jax.Array, median_A: jax.Array) -> jax.Array:
    distance_N = jnp.linalg.norm(x_NA - median_A, axis=1)
    weight_N = 1 / jnp.maximum(distance_N, floor)
    return weight_N @ x_NA / weight_N.sum()

  median_A: jax.Array = jax.lax.fori_loop(0, iterations, closer, x_NA.mean(0))
  return median_A


def drop_parallel() -> optax.GradientTransformation:
  """Removes from each decoder row's gradient its component along the row.

  g_i -= (g_i . d_i) d_i for unit rows d_i, as in the paper, so that no part of
  a step changes the norm, which is reset to 1 afterwards.
  """

  def update(
    grads: SAE, state: optax.OptState, params: SAE
  ) -> tuple[SAE, optax.OptState]:
    g_FA, d_FA = grads.W_dec_FA, params.W_dec_FA
    along_F1 = (g_FA * d_FA).sum(1, keepdims=True)
    across_FA = g_FA - along_F1 * d_FA
    return dataclasses.replace(grads, W_dec_FA=across_FA), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def optimizer(
  c: settings.Dictionary, lr: jax.Array | float
) -> optax.GradientTransformation:
  """Returns Adam on gradients orthogonal to decoder rows, clipped if set."""
  return adam(c, lr, drop_parallel())


def constrain(sae: SAE) -> SAE:
  """Resets decoder rows to norm 1."""
  return dataclasses.replace(sae, W_dec_FA=unit_rows(sae.W_dec_FA))


RECIPE = Recipe(
  check=check,
  init=init,
  gradient=gradient,
  optimizer=optimizer,
  start=start,
  constrain=constrain,
  row_losses=sae_lib.row_losses,
)
