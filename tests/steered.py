"""A small transformer and dictionary whose features are pinned."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny_transformer
from tiny_transformer import A, B, V

from monosem_jax.analysis import steering
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib

F, T = 30, 12
DOT = Dot(jnp.dtype(jnp.float32))


def transformer(**changes):
  return tiny_transformer.transformer(context=T, **changes)


def dictionary(width: int = A, seed: int = 2):
  """Decoder rows are not of norm 1."""
  rng = np.random.default_rng(seed)
  made = (
    rng.normal(size=(width, F)) / width**0.5,
    rng.normal(size=F) * 0.5,
    rng.normal(size=(F, width)) / width**0.5,
    rng.normal(size=width) * 0.3,
  )
  dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
  return sae_lib.SAE(*(jnp.asarray(x, dtype) for x in made))


def contexts() -> np.ndarray:
  return np.random.default_rng(3).integers(1, V, (B, T)).astype(np.int32)


def pins(sae, feature_K, value_K) -> steering.Pins:
  return steering.pins(
    sae, jnp.array(feature_K, jnp.int32), jnp.array(value_K, jnp.float32)
  )
