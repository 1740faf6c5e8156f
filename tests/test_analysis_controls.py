"""Controls: directions that nothing was learned for, against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import controls
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib

DOT = Dot(jnp.dtype(jnp.float32))


def encode(sae, x_NA):
  return np.asarray(sae_lib.encode(sae, jnp.asarray(x_NA, jnp.float32), DOT))


def decode(sae, f_NF):
  return np.asarray(sae_lib.decode(sae, jnp.asarray(f_NF), DOT))


def planted(n=4_000, seed=0):
  """Independent sources that are rare and positive, mixed and shifted."""
  rng = np.random.default_rng(seed)
  sources = rng.exponential(size=(n, 6)) * (rng.random((n, 6)) < 0.2)
  mixing = np.linalg.qr(rng.normal(size=(6, 6)))[0]
  scale = np.array([3.0, 2.5, 2.0, 1.5, 1.2, 1.0])
  return (sources * scale @ mixing + 1.0).astype(np.float32), mixing


def test_neurons_are_the_activations():
  x_NA = np.abs(np.random.default_rng(0).normal(size=(20, 7)))
  sae = controls.neurons(7)
  np.testing.assert_array_equal(encode(sae, x_NA), x_NA.astype(np.float32))
  np.testing.assert_array_equal(
    decode(sae, encode(sae, x_NA)), x_NA.astype(np.float32)
  )


def test_random_directions_fire_as_often_as_they_are_told():
  x_NA, _ = planted()
  wanted = np.array([0.0, 0.00025, 0.01, 0.1, 0.5, 0.9])
  sae = controls.random(x_NA, wanted, seed=1, block=4)
  np.testing.assert_allclose(np.linalg.norm(sae.W_dec_FA, axis=1), 1, rtol=1e-5)
  np.testing.assert_array_equal(sae.W_enc_AF, sae.W_dec_FA.T)
  found = (encode(sae, x_NA) > 0).mean(0)
  np.testing.assert_allclose(found, wanted, atol=1.01 / len(x_NA))
  assert found[0] == 0
  # No direction is another's, and another seed has others.
  assert np.abs(sae.W_dec_FA @ sae.W_dec_FA.T - np.eye(6)).max() < 0.99
  other = controls.random(x_NA, wanted, seed=2)
  assert np.abs(other.W_dec_FA - sae.W_dec_FA).max() > 0.1


def test_principal_components_are_the_eigenvectors():
  x_NA, _ = planted()
  sae = controls.pca(x_NA)
  _, vectors = np.linalg.eigh(np.cov(x_NA.T))
  cosine = np.abs(sae.W_dec_FA @ vectors[:, ::-1])
  np.testing.assert_allclose(np.diag(cosine), 1, atol=1e-3)
  centred = x_NA - x_NA.mean(0)
  product_NF = centred @ sae.W_dec_FA.T
  # Turned so that the tail is to the right; what lies left is silent.
  assert ((product_NF**3).mean(0) > 0).all()
  np.testing.assert_allclose(
    encode(sae, x_NA), np.maximum(product_NF, 0), atol=1e-4
  )


def test_independent_components_are_the_planted_sources():
  x_NA, mixing = planted()
  sae = controls.ica(x_NA, seed=0, passes=100)
  cosine = np.abs(sae.W_dec_FA @ mixing.T)
  np.testing.assert_allclose(cosine.max(0), 1, atol=0.02)
  assert sorted(cosine.argmax(0)) == list(range(6))
  # Both halves of a component are read, so the rest restores it.
  twice = x_NA - x_NA.mean(0)
  product_NF = twice @ sae.W_enc_AF
  np.testing.assert_allclose(product_NF @ sae.W_dec_FA, twice, atol=1e-3)


def test_a_neuron_that_never_fires_does_not_break_the_components():
  x_NA, _ = planted()
  x_NA = np.concatenate([x_NA, np.zeros((len(x_NA), 2), np.float32)], 1)
  for sae in (controls.pca(x_NA), controls.ica(x_NA, seed=0, passes=50)):
    for array in (sae.W_enc_AF, sae.W_dec_FA, sae.b_enc_F, sae.b_dec_A):
      assert np.isfinite(array).all()
  assert controls.ica(x_NA, 0, 50).b_enc_F.size == 6


@pytest.mark.parametrize('least', [3e-2, 1e-2, 1e-3, 1e-4])
def test_a_neuron_that_hardly_fires_does_not_either(least):
  x_NA, _ = planted()
  rare_NA = np.zeros((len(x_NA), 2), np.float32)
  rare_NA[5, 0] = rare_NA[9, 1] = least
  x_NA = np.concatenate([x_NA, rare_NA], 1)
  sae = controls.ica(x_NA, seed=0, passes=100)
  centred = x_NA - x_NA.mean(0)
  again = (centred @ sae.W_enc_AF) @ sae.W_dec_FA
  np.testing.assert_allclose(again, centred, atol=1e-3)
