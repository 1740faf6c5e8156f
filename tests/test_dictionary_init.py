"""What a dictionary starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  init as dictionary_init,
  sae as sae_lib,
  state as states,
)
from monosem_jax.dictionary.recipes.paper import geometric_median

DOT = Dot(jnp.dtype(jnp.float32))


def distances(at_A, x_NA) -> float:
  return float(
    np.linalg.norm(np.asarray(x_NA) - np.asarray(at_A), axis=1).sum()
  )


def minimiser(x_NA: np.ndarray) -> np.ndarray:
  """Descends the sum of distances in float64, halving steps that fail."""
  at_A, step = np.median(x_NA, axis=0), 1.0
  best = distances(at_A, x_NA)
  while step > 1e-12:
    off_NA = at_A - x_NA
    norm_N1 = np.maximum(np.linalg.norm(off_NA, axis=1, keepdims=True), 1e-12)
    slope_A = (off_NA / norm_N1).mean(0)
    guess_A = at_A - step * slope_A
    if (now := distances(guess_A, x_NA)) < best:
      at_A, best, step = guess_A, now, step * 1.5
    else:
      step /= 2
  return at_A


def test_geometric_median_minimises_the_sum_of_distances():
  rng = np.random.default_rng(0)
  x_NA = np.maximum(rng.normal(size=(400, 5)), 0) * np.arange(1, 6)
  want_A = minimiser(x_NA)
  got_A = geometric_median(jnp.asarray(x_NA, jnp.float32))
  np.testing.assert_allclose(got_A, want_A, atol=1e-4)
  # And it is neither the mean nor the median of each coordinate.
  assert np.abs(want_A - x_NA.mean(0)).max() > 0.05
  assert np.abs(want_A - np.median(x_NA, 0)).max() > 0.05


def test_geometric_median_of_points_in_symmetry_is_their_centre():
  offsets_NA = np.random.default_rng(1).normal(size=(20, 3))
  x_NA = np.concatenate([offsets_NA, -offsets_NA])
  x_NA = x_NA + np.array([5.0, -2.0, 1.0])
  got_A = geometric_median(jnp.asarray(x_NA, jnp.float32))
  np.testing.assert_allclose(got_A, [5.0, -2.0, 1.0], atol=1e-5)


def test_an_outlier_hardly_moves_the_geometric_median():
  x_NA = np.random.default_rng(2).normal(size=(101, 4))
  x_NA[0] = 1e4
  got_A = geometric_median(jnp.asarray(x_NA, jnp.float32))
  assert np.linalg.norm(got_A) < 0.5
  assert np.linalg.norm(x_NA.mean(0)) > 100


def test_geometric_median_leaves_a_row_it_starts_on():
  # The mean, where Weiszfeld begins, is the first row; the median is not.
  rest_NA = np.array([[1.0, 0], [1, 0.1], [1, -0.1], [1.1, 0], [-4.1, 0]])
  x_NA = np.concatenate([[rest_NA.mean(0)], rest_NA]) + 3.0
  got_A = geometric_median(jnp.asarray(x_NA, jnp.float32))
  want_A = minimiser(x_NA)
  assert np.linalg.norm(want_A - x_NA[0]) > 0.5
  np.testing.assert_allclose(got_A, want_A, atol=1e-2)


def test_geometric_median_may_be_a_row():
  # More than half of the rows coincide: theirs is the least sum.
  x_NA = np.random.default_rng(3).normal(size=(20, 3))
  x_NA[:11] = [2.0, 3.0, 4.0]
  got_A = geometric_median(jnp.asarray(x_NA, jnp.float32))
  np.testing.assert_allclose(got_A, [2.0, 3.0, 4.0], atol=1e-4)


def rows(scale: float = 3.0) -> jax.Array:
  rng = np.random.default_rng(4)
  return jnp.asarray(
    scale * np.maximum(rng.normal(size=(512, 8)), 0), jnp.float32
  )


def test_decoder_bias_starts_at_the_geometric_median_of_the_rows_as_they_are():
  c = settings.Dictionary(features=16)
  state = dictionary_init.start(c, states.init(c, 8), rows(), DOT)
  assert float(state.scale) == 1
  want_A = minimiser(np.asarray(rows(), np.float64))
  np.testing.assert_allclose(state.sae.b_dec_A, want_A, atol=1e-3)


def test_unit_normalisation_makes_the_mean_norm_the_root_of_the_width():
  c = settings.Dictionary(features=16, normalize='unit')
  state = dictionary_init.start(c, states.init(c, 8), rows(), DOT)
  scaled_NA = np.asarray(rows()) * float(state.scale)
  np.testing.assert_allclose(
    np.linalg.norm(scaled_NA, axis=1).mean(), 8**0.5, rtol=1e-5
  )
  want_A = minimiser(scaled_NA.astype(np.float64))
  np.testing.assert_allclose(state.sae.b_dec_A, want_A, atol=1e-3)


def test_folding_the_scale_keeps_reconstructions_and_unit_rows():
  c = settings.Dictionary(features=16, normalize='unit')
  state = dictionary_init.start(c, states.init(c, 8), rows(), DOT)
  bias_F = jnp.linspace(-0.5, 0.5, 16)
  trained = state.sae.replace(b_enc_F=bias_F)
  folded = sae_lib.fold_scale(trained, state.scale)
  x_NA = rows()
  f_NF = sae_lib.encode(trained, x_NA * state.scale, DOT)
  folded_NF = sae_lib.encode(folded, x_NA, DOT)
  np.testing.assert_allclose(folded_NF, f_NF / state.scale, atol=1e-5)
  np.testing.assert_allclose(
    sae_lib.decode(folded, folded_NF, DOT),
    sae_lib.decode(trained, f_NF, DOT) / state.scale,
    atol=1e-5,
  )
  norms_F = np.linalg.norm(folded.W_dec_FA, axis=1)
  np.testing.assert_allclose(norms_F, 1, rtol=1e-6)
  assert abs(float(state.scale) - 1) > 0.1


@pytest.mark.parametrize(('width', 'features'), [(16, 400), (100, 50)])
def test_fresh_weights_are_kaiming_uniform(width, features):
  sae = sae_lib.init(jax.random.key(0), width, features)
  W_enc_AF = np.asarray(sae.W_enc_AF)
  bound = 1 / np.sqrt(width)
  assert np.abs(W_enc_AF).max() <= bound
  # Uniform: its quartiles and its deviation, b / sqrt(3).
  np.testing.assert_allclose(
    np.quantile(W_enc_AF, [0.01, 0.25, 0.5, 0.75, 0.99]) / bound,
    [-0.98, -0.5, 0, 0.5, 0.98],
    atol=0.04,
  )
  np.testing.assert_allclose(W_enc_AF.std() / bound, 3**-0.5, rtol=0.03)
  W_dec_FA = np.asarray(sae.W_dec_FA)
  np.testing.assert_allclose(np.linalg.norm(W_dec_FA, axis=1), 1, rtol=1e-5)
  # Rows of uniform entries over their norm, about sqrt(width / 3) bounds.
  assert np.abs(W_dec_FA).max() < 1.6 * (3 / width) ** 0.5
  assert abs(W_dec_FA.mean()) < 0.02
  assert not np.asarray(sae.b_enc_F).any()
  assert not np.asarray(sae.b_dec_A).any()
  # The decoder is not the encoder turned round.
  cosine_F = (W_dec_FA * W_enc_AF.T).sum(1) / np.linalg.norm(W_enc_AF, axis=0)
  assert abs(cosine_F.mean()) < 0.1
