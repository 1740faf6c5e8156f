"""Features whose firings NumPy counts, one of every kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.transformer import train as lm_train, weights

V, T, CONTEXTS, A, F = 25, 24, 16, 32, 40
SILENT, DENSE, RARE = 0, 1, 2
DOT = Dot(jnp.dtype(jnp.float32))
CONFIG = settings.Features(
  batch_size=4,
  sample_fraction=0.25,
  activations=100_000,
  top=4,
  per_interval=2,
  bottom=12,
  before=3,
  after=5,
)


@functools.cache
def tokens() -> np.ndarray:
  """Contexts of which two say the same, and one repeats itself."""
  rng = np.random.default_rng(0)
  tokens_CT = rng.integers(1, V, size=(CONTEXTS, T)).astype(np.int32)
  tokens_CT[13] = tokens_CT[5]
  tokens_CT[14] = tokens_CT[5]
  return tokens_CT


def forward(lm, tokens_BT):
  return lm(tokens_BT)[1]


@functools.cache
def model():
  c = settings.Transformer(
    d_model=16, d_mlp=A, n_heads=2, precision='float32', seed=1
  )
  abstract = jax.eval_shape(
    lambda: lm_train.init(c, vocab_size=V, context=T, separator=0).model
  )
  rng = np.random.default_rng(3)
  return weights.load(
    abstract,
    {
      name: np.float32(x.shape[-1] ** -0.5 * rng.normal(size=x.shape))
      for name, x in weights.tensors(abstract).items()
    },
  )


@functools.cache
def acts() -> np.ndarray:
  return np.asarray(jax.jit(forward)(model(), jnp.asarray(tokens())))


@functools.cache
def dictionary() -> sae_lib.SAE:
  rng = np.random.default_rng(2)
  sae = sae_lib.init(jax.random.key(0), A, F)
  bias_F = rng.normal(size=F) * 0.5
  bias_F[SILENT], bias_F[DENSE] = -1e3, 1e3
  sae = sae.replace(
    W_enc_AF=5 * sae.W_enc_AF,
    b_enc_F=jnp.asarray(bias_F, jnp.float32),
    b_dec_A=jnp.asarray(rng.random(A), jnp.float32),
  )
  # One feature fires on few tokens: its bias lies among its largest inputs.
  x_NA = acts().reshape(-1, A)
  inputs_N = (x_NA - np.asarray(sae.b_dec_A)) @ np.asarray(sae.W_enc_AF)[
    :, RARE
  ]
  low, high = np.unique(inputs_N)[-5:-3]
  return sae.replace(b_enc_F=sae.b_enc_F.at[RARE].set(-(low + high) / 2))


@functools.cache
def truth() -> np.ndarray:
  """f_CTF: every feature on every token, in float64."""
  w = jax.tree.map(lambda x: np.asarray(x, np.float64), dictionary())
  x_CTA = acts().astype(np.float64)
  pre_CTF = (x_CTA - w.b_dec_A) @ w.W_enc_AF + w.b_enc_F
  # No token so close to firing that rounding would decide.
  assert np.abs(pre_CTF).min() > 1e-5
  return np.maximum(pre_CTF, 0)
