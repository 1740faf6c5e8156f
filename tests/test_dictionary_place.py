"""Features put on inputs, against NumPy, and what training starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import init as dictionary_init, place, state
from monosem_jax.dictionary.recipes.paper import geometric_median
from monosem_jax.dictionary.sae import encode

A, F, DOT = 6, 10, Dot(jnp.dtype('float32'))


def inputs(n: int, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return np.maximum(rng.normal(size=(n, A)), 0).astype(np.float32)


@pytest.mark.parametrize('micro_batches', [1, 4, 24])
@pytest.mark.parametrize('share', [0.001, 0.05, 0.5])
def test_the_threshold_is_the_one_that_sorting_finds(share, micro_batches):
  row_FA = np.random.default_rng(1).normal(size=(F, A)).astype(np.float32)
  x_NA = inputs(96)
  got_F = place.thresholds(
    jnp.asarray(row_FA),
    jnp.asarray(x_NA.reshape(micro_batches, -1, A)),
    share,
    DOT,
  )
  above = {0.001: 1, 0.05: 5, 0.5: 48}[share]  # of 96, rounded, at least 1
  product_NF = np.sort(x_NA @ row_FA.T, axis=0)[::-1]
  want_F = (product_NF[above - 1] + product_NF[above]) / 2
  np.testing.assert_allclose(got_F, want_F, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('normalize', ['none', 'unit'])
def test_data_start_every_feature_on_another_input(normalize):
  c = settings.Dictionary(
    features=F, init='data', fires_on=0.1, median_rows=40, normalize=normalize
  )
  x_NA = inputs(40)
  started = dictionary_init.start(c, state.init(c, A), jnp.asarray(x_NA), DOT)
  sae, scale = started.sae, float(started.scale)
  assert (scale == 1) == (normalize == 'none')
  x_NA = scale * x_NA
  away_NA = x_NA - np.asarray(sae.b_dec_A)
  away_NA /= np.linalg.norm(away_NA, axis=1, keepdims=True)
  cosine_FN = np.asarray(sae.W_dec_FA) @ away_NA.T
  np.testing.assert_allclose(cosine_FN.max(1), 1, rtol=1e-5)
  assert len(set(cosine_FN.argmax(1))) == F
  np.testing.assert_array_equal(sae.W_enc_AF, sae.W_dec_FA.T)
  # Each fires on 4 of the 40, by the median it was started with.
  f_NF = encode(sae, jnp.asarray(x_NA), DOT)
  np.testing.assert_array_equal((f_NF > 0).sum(0), 4)


def test_data_place_more_features_than_rows_of_the_median():
  c = settings.Dictionary(features=F, init='data', median_rows=8)
  assert dictionary_init.sample_rows(c) == F
  x_NA = jnp.asarray(inputs(F))
  sae = dictionary_init.start(c, state.init(c, A), x_NA, DOT).sae
  np.testing.assert_allclose(sae.b_dec_A, geometric_median(x_NA[:8]), rtol=1e-6)
  assert len(np.unique(np.asarray(sae.W_dec_FA).round(5), axis=0)) == F


def test_dictionaries_of_other_seeds_start_on_other_inputs():
  x_NA = jnp.asarray(inputs(200))

  def rows(seed):
    c = settings.Dictionary(features=F, init='data', seed=seed)
    return dictionary_init.start(c, state.init(c, A), x_NA, DOT).sae.W_dec_FA

  same = np.asarray(rows(0)) @ np.asarray(rows(1)).T > 1 - 1e-5
  assert same.sum() <= 3  # 10 of 200 twice: 0.5 expected
  np.testing.assert_array_equal(rows(0), rows(0))


def test_tied_starts_on_random_directions_with_the_encoder_their_transpose():
  c = settings.Dictionary(features=4_000, init='tied', seed=5)
  sae = state.init(c, A).sae
  rows_FA = np.asarray(sae.W_dec_FA)
  np.testing.assert_array_equal(sae.W_enc_AF, rows_FA.T)
  np.testing.assert_allclose(np.linalg.norm(rows_FA, axis=1), 1, rtol=1e-5)
  np.testing.assert_array_equal(sae.b_enc_F, 0)
  # Isotropic: the covariance is that of the sphere, 1 / A, within 5 sigma.
  np.testing.assert_allclose(rows_FA.mean(0), 0, atol=5 / np.sqrt(A * 4_000))
  covariance_AA = rows_FA.T @ rows_FA / 4_000
  np.testing.assert_allclose(covariance_AA, np.eye(A) / A, atol=0.02)
  assert jax.tree.leaves(sae)[0].dtype == jnp.float32
