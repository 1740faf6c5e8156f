"""What data fixes of a dictionary before its first step."""

import jax
import jax.numpy as jnp

from monosem_jax import settings
from monosem_jax.dictionary.state import DictionaryState


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


def start(
  c: settings.Dictionary, state: DictionaryState, x_NA: jax.Array
) -> DictionaryState:
  """Sets the input scale, and of `paper` the decoder bias (`april` starts it at
  0), from a sample of rows x_NA."""
  x_NA = x_NA.astype(state.scale.dtype)
  scale = state.scale
  if c.normalize == 'unit':
    scale = x_NA.shape[1] ** 0.5 / jnp.linalg.norm(x_NA, axis=1).mean()
  if c.recipe == 'april':
    return state.replace(scale=scale)
  median_A = geometric_median(x_NA * scale)
  return state.replace(scale=scale, sae=state.sae.replace(b_dec_A=median_A))
