"""bfloat16 products and rows cost a dictionary next to nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  evaluate,
  init as dictionary_init,
  state as states,
  train,
)
from monosem_jax.dictionary.stream import harvest
from monosem_jax.transformer import train as lm_train

V, T, C, P = 64, 32, 64, 16
LM = settings.Transformer(
  d_model=32,
  d_mlp=64,
  n_heads=2,
  batch_size=32,
  steps=400,
  warmup_steps=20,
  steps_per_chunk=400,
  lr=5e-3,
  precision='float32',
)
STREAM = settings.Stream(
  contexts_per_chunk=C,
  positions_per_context=P,
  shuffle_groups=4,
  micro_batches=1,
  batch_size=128,
)
DICTIONARY = settings.Dictionary(features=128, lr=3e-3, l1=2e-2)


def text(n: int, seed: int) -> np.ndarray:
  """Contexts of a chain in which each token is followed by one of four."""
  rng = np.random.default_rng(0)
  next_V4 = rng.integers(V, size=(V, 4))
  rng = np.random.default_rng(seed)
  tokens_BT = np.empty((n, T), np.int32)
  tokens_BT[:, 0] = rng.integers(V, size=n)
  for t in range(1, T):
    which = np.minimum(rng.geometric(0.6, size=n) - 1, 3)
    tokens_BT[:, t] = next_V4[tokens_BT[:, t - 1], which]
  return tokens_BT


def forward(lm, tokens_BT):
  return lm(tokens_BT)[1]


@functools.cache
def transformer():
  init = lambda: lm_train.init(LM, vocab_size=V, context=T, separator=V)
  tokens_SBT = text(LM.steps * LM.batch_size, 1).reshape(LM.steps, -1, T)
  state, _ = lm_train.make_chunk(LM)(jax.jit(init)(), tokens_SBT)
  return state.model


def in_precision(precision: str):
  """A transformer whose forward pass is in that precision; its dictionary."""
  lm = transformer()
  c = dataclasses.replace(STREAM, precision=precision)
  like = lm_train.init(
    dataclasses.replace(LM, precision=precision),
    vocab_size=V,
    context=T,
    separator=V,
  ).model
  lm = jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(lm))
  settings_of = {'A1': DICTIONARY}
  chunk = train.make_chunk(c, settings_of, forward)
  context_C, epoch_C = np.arange(C, dtype=np.int32), np.zeros(C, np.int32)
  rows_UGrA = harvest(
    c, forward, lm, text(C, 2), context_C, epoch_C, jnp.dtype(precision)
  )
  assert rows_UGrA.dtype == precision
  fresh = dictionary_init.start(
    DICTIONARY,
    states.init(DICTIONARY, 64),
    rows_UGrA.reshape(-1, 64),
    Dot(jnp.dtype(jnp.float32)),
  )
  state = states.StreamState.of(jnp.int32(0), settings_of, {'A1': fresh})
  for k in range(60):
    state, _ = chunk(state, lm, text(C, 2 + k), context_C, epoch_C)
  return lm, state.dictionaries['A1']


def loss_recovered(lm, state) -> dict:
  sums = evaluate.make_sums(lm_train.patched_loss, Dot(jnp.dtype(jnp.float32)))
  found = evaluate.evaluate(sums, lm, {'A1': state.sae}, [text(256, 99)])
  return found['A1']


def test_loss_recovered_is_that_of_float32():
  full = loss_recovered(*in_precision('float32'))
  lm, state = in_precision('bfloat16')
  half = loss_recovered(lm, state)
  # A dictionary that is neither trivial nor perfect, on a model that learnt.
  assert full['loss_clean'] < 0.75 * np.log(V)
  assert 0.5 < full['loss_recovered'] < 0.999
  assert 1 < full['l0'] < 100
  assert abs(full['loss_recovered'] - half['loss_recovered']) < 0.01
  print({k: (full[k], half[k]) for k in ('loss_recovered', 'l0', 'loss_clean')})
  # Weights and moments are kept in float32.
  for x in jax.tree.leaves((state.sae, state.opt_state, lm)):
    assert x.dtype in (jnp.float32, jnp.int32)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_products_accumulate_in_float32(dtype):
  # 4,096 ones and a half: a bfloat16 sum would stop at 256.
  dot = Dot(jnp.dtype(dtype))
  ones = jnp.ones(4_097).at[0].set(0.5)
  out = dot('a,a->', ones, jnp.ones(4_097))
  assert out.dtype == jnp.float32
  assert float(out) == 4_096.5


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_rounded_product_is_the_exact_one_rounded_once(dtype):
  rng = np.random.default_rng(0)
  # Operands that bfloat16 holds exactly; sums that it does not.
  x_NA, w_AF = (rng.integers(-9, 9, shape) for shape in ((32, 64), (64, 16)))
  dot = Dot(jnp.dtype(dtype))
  got_NF = dot.rounded(
    'na,af->nf', *(jnp.asarray(x, jnp.float32) for x in (x_NA, w_AF))
  )
  assert got_NF.dtype == dtype
  want_NF = jnp.asarray(x_NA @ w_AF, dtype)
  assert not (np.asarray(want_NF, int) == x_NA @ w_AF).all() or dtype[0] == 'f'
  np.testing.assert_array_equal(got_NF, want_NF)


def test_the_gradient_of_a_product_in_bfloat16_is_of_bfloat16_products():
  # Against NumPy, on operands rounded first: sums are wide, and so is what
  # comes out, for weights in float32.
  rng = np.random.default_rng(0)
  x_NA, W_AF, g_NF = (
    rng.normal(size=shape).astype(np.float32)
    for shape in ((24, 40), (40, 56), (24, 56))
  )
  dot = Dot(jnp.dtype(jnp.bfloat16))
  out_NF, pull = jax.vjp(lambda x, W: dot('na,af->nf', x, W), x_NA, W_AF)
  dx_NA, dW_AF = pull(jnp.asarray(g_NF))
  rounded = lambda x: np.asarray(x.astype(jnp.bfloat16), np.float64)
  x_NA, W_AF, g_NF = map(rounded, (x_NA, W_AF, g_NF))
  for got, want in (
    (out_NF, x_NA @ W_AF),
    (dx_NA, g_NF @ W_AF.T),
    (dW_AF, x_NA.T @ g_NF),
  ):
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
