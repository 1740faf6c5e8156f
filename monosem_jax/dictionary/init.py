"""Sets the parts of a dictionary that depend on data, before its first step."""

import dataclasses

import jax
import jax.numpy as jnp

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import recipes
from monosem_jax.dictionary.state import DictionaryState


def sample_rows(c: settings.Dictionary) -> int:
  """Returns how many rows `start` uses at most."""
  inputs = c.features if c.init == 'data' else 0
  return max(c.median_rows, inputs)


def start(
  c: settings.Dictionary, state: DictionaryState, x_NA: jax.Array, dot: Dot
) -> DictionaryState:
  """Sets the parts of a state that depend on data, before the first step.

  Args:
    c: settings of the dictionary.
    state: the state from `state.init`.
    x_NA: a sample of rows, see `sample_rows`.
    dot: the matrix product.

  Returns:
    The state with the input scale and the weights that the recipe sets.
  """
  x_NA = x_NA.astype(state.scale.dtype)
  scale, recipe = state.scale, recipes.of(c)
  if c.normalize == 'unit':
    norm = jnp.linalg.norm(x_NA[: c.median_rows], axis=1).mean()
    scale = x_NA.shape[1] ** 0.5 / norm
  if recipe.start is None:
    return dataclasses.replace(state, scale=scale)
  key = jax.random.fold_in(jax.random.key(state.seed), 0)
  sae = recipe.start(c, state.sae, scale * x_NA, key, dot)
  return dataclasses.replace(state, scale=scale, sae=sae)
