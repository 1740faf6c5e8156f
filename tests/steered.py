"""A small transformer and dictionary whose features are pinned."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import steering
from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.transformer import train as lm_train, weights

D, A, F, V, T, B = 16, 24, 30, 40, 12, 3
LM = settings.Transformer(d_model=D, d_mlp=A, n_heads=2, precision='float32')
DOT = Dot(jnp.dtype(jnp.float32))


def transformer(**changes):
  c = dataclasses.replace(LM, **changes)
  init = lambda: lm_train.init(c, vocab_size=V, context=T, separator=0)
  like = jax.eval_shape(init).model
  rng = np.random.default_rng(1)
  found = {
    name: rng.normal(name.rpartition('.')[2].startswith('w_'), 0.4, x.shape)
    for name, x in weights.tensors(like).items()
  }
  dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
  return weights.load(like, {n: x.astype(dtype) for n, x in found.items()})


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
