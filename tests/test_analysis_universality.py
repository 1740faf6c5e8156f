"""Similarities of features of two models, against NumPy on whole matrices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax import settings
from monosem_jax.analysis import universality
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.features import moments
from monosem_jax.precision import Dot
from monosem_jax.transformer import train as lm_train

D, A, V, T, B, BATCHES = 8, 12, 50, 9, 6, 4
DOT = Dot(jnp.dtype(jnp.float32))
FEATURES = 20, 14


def forward(lm, tokens_BT):
  return lm(tokens_BT)[1]


def one(seed: int, features: int):
  """A transformer and a dictionary of it."""
  c = settings.Transformer(
    d_model=D, d_mlp=A, n_heads=2, precision='float32', seed=seed
  )
  lm = lm_train.init(c, vocab_size=V, context=T, separator=0).model
  sae = sae_lib.init(jax.random.key(seed), A, features)
  return lm, sae.replace(b_enc_F=jnp.full(features, 0.01))


@functools.cache
def sides():
  return tuple(
    universality.side(*one(seed, features), block=6)
    for seed, features in enumerate(FEATURES)
  )


def tokens() -> np.ndarray:
  rng = np.random.default_rng(0)
  return rng.integers(1, V, (BATCHES, B, T)).astype(np.int32)


def correlate(of, batches) -> np.ndarray:
  step = moments.make_step(universality.pair(of), DOT)
  return moments.correlation(moments.collect(step, sides(), batches))


def plain(seed: int, features: int):
  """Activations [tokens, F] and logit weights [F, V], by definition."""
  lm, sae = one(seed, features)
  f = []
  for tokens_BT in tokens():
    _, acts_BTA = lm(tokens_BT)
    for acts_TA in np.asarray(acts_BTA, float):
      pre = (acts_TA - sae.b_dec_A) @ sae.W_enc_AF + sae.b_enc_F
      f.append(np.maximum(pre, 0)[:-1])
  rows = np.asarray(sae.W_dec_FA, float) @ lm.blocks[0].mlp.W_out_AD[...]
  rows = (rows - rows.mean(1, keepdims=True)) * lm.ln_f.w_D[...]
  return np.concatenate(f), rows @ np.asarray(lm.W_U_DV[...], float)


def pearson(x_NX, y_NY) -> np.ndarray:
  X = x_NX.shape[1]
  with np.errstate(invalid='ignore', divide='ignore'):
    r = np.corrcoef(x_NX.T, y_NY.T)[:X, X:]
  return np.nan_to_num(r)


@pytest.fixture
def by_definition():
  return [plain(seed, features) for seed, features in enumerate(FEATURES)]


def test_activation_similarity(by_definition):
  of = functools.partial(universality.activations, forward, DOT)
  (f_NX, _), (g_NY, _) = by_definition
  np.testing.assert_allclose(
    correlate(of, tokens()), pearson(f_NX, g_NY), atol=1e-4
  )


def test_attribution_similarity(by_definition):
  of = functools.partial(universality.attributions, forward, DOT)
  next_N = tokens()[:, :, 1:].reshape(-1)
  a = [
    f_NF * (v_FV - np.median(v_FV, axis=1, keepdims=True)).T[next_N]
    for f_NF, v_FV in by_definition
  ]
  got = correlate(of, tokens())
  np.testing.assert_allclose(got, pearson(*a), atol=1e-4)
  # It is another question than that of the activations.
  assert np.abs(got - pearson(*(f for f, _ in by_definition))).max() > 0.1


def test_logit_weight_similarity_is_over_the_vocabulary(by_definition):
  models = [one(seed, features) for seed, features in enumerate(FEATURES)]
  pairs = np.argwhere(np.ones(FEATURES)).T
  rows = [
    (lm, sae.W_dec_FA[at]) for (lm, sae), at in zip(models, pairs, strict=True)
  ]
  got = universality.logit_correlation(*rows, block=7)
  want = pearson(*(v.T for _, v in by_definition))
  np.testing.assert_allclose(got.reshape(FEATURES), want, atol=1e-4)
  # A direction without an effect goes with none.
  none = [(lm, 0 * rows_MA) for lm, rows_MA in rows]
  assert not universality.logit_correlation(rows[0], none[1]).any()


def test_nearest_is_the_live_feature_that_correlates_most():
  r_XY = np.array([[0.1, 0.9, -0.3], [0.0, 0.0, 0.0], [-0.2, -0.5, -0.1]])
  live_X, live_Y = np.array([False, True, True]), np.array([True, False, True])
  found, back = universality.nearest([(slice(0, 3), r_XY)], live_X, live_Y)
  np.testing.assert_array_equal(found.index_X, [0, -1, 2])
  np.testing.assert_array_equal(found.r_X, [0.1, np.nan, -0.1])
  assert found.median(np.array([True, True, False])) == 0.1
  assert found.median(np.array([False, True, False])) is None
  # The other way round, where the first feature cannot be found.
  np.testing.assert_array_equal(back.index_X, [-1, -1, -1])
  np.testing.assert_array_equal(np.isnan(back.r_X), True)
  live_X[0] = True
  _, back = universality.nearest([(slice(0, 3), r_XY)], live_X, live_Y)
  np.testing.assert_array_equal(back.index_X, [0, 0, -1])
  np.testing.assert_array_equal(back.r_X, [0.1, 0.9, np.nan])
  dead, _ = universality.nearest(
    [(slice(0, 3), r_XY)], live_X, np.zeros(3, bool)
  )
  np.testing.assert_array_equal(dead.index_X, -1)


@pytest.mark.parametrize('size', [1, 3, 20])
def test_blocks_find_the_nearest_of_the_whole(size):
  rng = np.random.default_rng(5)
  X, Y = FEATURES
  r_XY = rng.uniform(-1, 1, FEATURES).astype(np.float32)
  r_XY[4], r_XY[:, 7], r_XY[:, 8] = 0, 0, -np.abs(r_XY[:, 8])
  r_XY[4, 8] = 0  # the largest of them: nothing goes with feature 8
  live_X, live_Y = rng.random(X) < 0.7, rng.random(Y) < 0.7
  live_X[4] = True
  blocks = [
    (own, r_XY[own])
    for i in range(0, X, size)
    for own in [slice(i, min(i + size, X))]
  ]
  found = universality.nearest(blocks, live_X, live_Y)
  ways = (r_XY, live_Y), (r_XY.T, live_X)
  for near, (r, live) in zip(found, ways, strict=True):
    for i, own in enumerate(r):
      j = max(np.flatnonzero(live), key=lambda j, own=own: own[j])
      if own[j]:
        assert (near.index_X[i], near.r_X[i]) == (j, own[j])
      else:
        assert near.index_X[i] == -1 and np.isnan(near.r_X[i])
  assert found[1].index_X[[7, 8]].tolist() == [-1, -1]
