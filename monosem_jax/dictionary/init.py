"""What data fixes of a dictionary before its first step."""

import jax
import jax.numpy as jnp

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import place
from monosem_jax.dictionary.state import DictionaryState

# Rows whose products with all features are held at a time.
_BLOCK = 1_024


def geometric_median(x_NA: jax.Array, iterations: int = 100) -> jax.Array:
  """The point with the least sum of distances to all rows: median_A.

  Weiszfeld's algorithm from the mean: the average of the rows, each weighted by
  the inverse of its distance. The floor under distances keeps a row that the
  estimate has hit from taking it over.
  """
  floor = 1e-6 * jnp.linalg.norm(x_NA, axis=1).mean()

  def closer(_, median_A):
    distance_N = jnp.linalg.norm(x_NA - median_A, axis=1)
    weight_N = 1 / jnp.maximum(distance_N, floor)
    return weight_N @ x_NA / weight_N.sum()

  return jax.lax.fori_loop(0, iterations, closer, x_NA.mean(0))


def sample_rows(c: settings.Dictionary) -> int:
  """How many rows `start` wants, if there are so many."""
  inputs = c.features if c.init == 'data' else 0
  return max(c.median_rows, inputs)


def start(
  c: settings.Dictionary, state: DictionaryState, x_NA: jax.Array, dot: Dot
) -> DictionaryState:
  """Sets what data fix, from a sample of rows x_NA (see `sample_rows`).

  The input scale; of the recipe `paper` the decoder bias, their geometric
  median (`april` starts it at 0); of `init='data'` a feature on each of F
  different rows, drawn uniformly, see `place`.
  """
  x_NA = x_NA.astype(state.scale.dtype)
  scale, sae = state.scale, state.sae
  known_NA = x_NA[: c.median_rows]
  if c.normalize == 'unit':
    norm = jnp.linalg.norm(known_NA, axis=1).mean()
    scale = x_NA.shape[1] ** 0.5 / norm
  if c.recipe == 'paper':
    sae = sae.replace(b_dec_A=geometric_median(known_NA * scale))
  if c.init == 'data':
    key = jax.random.fold_in(jax.random.key(state.seed), 0)
    x_FA = scale * x_NA[jax.random.permutation(key, len(x_NA))[: c.features]]
    M = max(len(known_NA) // _BLOCK, 1)
    N = len(known_NA) // M
    x_MNA = scale * known_NA[: M * N].reshape(M, N, -1)
    residual_FA = x_FA - sae.b_dec_A
    sae = place.on_residuals(sae.b_dec_A, residual_FA, x_MNA, c.fires_on, dot)
  return state.replace(scale=scale, sae=sae)
