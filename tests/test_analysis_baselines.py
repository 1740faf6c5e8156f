"""Matched baselines against loops and least squares in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import baselines, controls
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE

A, K = 9, 3
DOT = Dot(jnp.dtype(jnp.float32))


def activations(n=500, seed=0) -> np.ndarray:
  """Behind a ReLU, of neurons that differ in scale and depend on another."""
  rng = np.random.default_rng(seed)
  mixed = rng.normal(size=(n, A)) @ rng.normal(size=(A, A))
  return np.maximum(mixed * np.linspace(0.3, 3, A) + 0.5, 0).astype(np.float32)


def reconstruct(d, x_NA):
  return map(np.asarray, baselines.reconstruct(d, jnp.asarray(x_NA), DOT))


def test_neurons_farthest_from_their_means_are_kept():
  x_NA = activations()
  mean_A = x_NA.mean(0)
  f_NF, recon_NA = reconstruct(baselines.neurons(mean_A, K), x_NA)
  silent = 0
  for x, f, recon in zip(x_NA, f_NF, recon_NA, strict=True):
    far = sorted(range(A), key=lambda a: -abs(x[a] - mean_A[a]))[:K]
    want = mean_A.copy()
    for a in far:
      want[a] = x[a]
      silent += x[a] == 0
    np.testing.assert_allclose(recon, want, atol=1e-5)
    assert sorted(np.flatnonzero(f)) == sorted(far)
  # The largest K neurons would never be silent ones.
  assert silent > 20


def test_about_zero_the_largest_neurons_are_kept():
  x_NA = activations()
  f_NF, recon_NA = reconstruct(baselines.neurons(np.zeros(A), K), x_NA)
  for x, f, recon in zip(x_NA, f_NF, recon_NA, strict=True):
    least = sorted(x)[-K]
    want = [a if a >= least else 0.0 for a in x]
    np.testing.assert_allclose(recon, want, atol=1e-6)
    np.testing.assert_allclose(f, want, atol=1e-6)


def test_a_basis_that_is_not_orthogonal_weighs_entries_by_their_rows():
  rng = np.random.default_rng(1)
  x_NA, offset_A = activations(), rng.normal(size=A).astype(np.float32)
  W_dec_FA = rng.normal(size=(A, A)) * np.geomspace(0.1, 10, A)[:, None]
  W_enc_AF = np.linalg.inv(W_dec_FA)
  W_enc_AF, W_dec_FA = np.float32(W_enc_AF), np.float32(W_dec_FA)
  basis = baselines.SparseBasis(W_enc_AF, W_dec_FA, offset_A, K)
  f_NF, recon_NA = reconstruct(basis, x_NA)
  otherwise = 0
  for n, x in enumerate(x_NA.astype(float)):
    s = [(x - offset_A) @ W_enc_AF[:, i] for i in range(A)]
    weight = [abs(s[i]) * np.sqrt((W_dec_FA[i] ** 2).sum()) for i in range(A)]
    kept = np.argsort(weight)[-K:]
    otherwise += set(kept) != set(np.argsort(np.abs(s))[-K:])
    want = offset_A + sum(s[i] * W_dec_FA[i] for i in kept)
    np.testing.assert_allclose(recon_NA[n], want, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(np.flatnonzero(f_NF[n]), np.sort(kept))
  assert otherwise > 100
  # Signs are kept, and all of it is the identity.
  assert (f_NF < 0).any() and (f_NF > 0).any()
  _, whole_NA = reconstruct(basis.replace(k=A), x_NA)
  np.testing.assert_allclose(whole_NA, x_NA, atol=1e-3)


def test_signed_principal_components_are_the_best_rotation_of_a_token():
  x_NA = activations()
  basis = baselines.components(controls.pca(x_NA), K)
  _, recon_NA = reconstruct(basis, x_NA)
  x = x_NA.astype(float) - x_NA.mean(0)
  _, vectors = np.linalg.eigh(x.T @ x)
  squares = np.sort((x @ vectors) ** 2, axis=1)
  # What is left of a token are its smaller components.
  error = ((recon_NA - x_NA) ** 2).sum(1)
  np.testing.assert_allclose(error, squares[:, :-K].sum(1), rtol=0.02, atol=0.1)
  # The one-sided form of the same directions, all of them, does worse.
  features, features_NA = reconstruct(controls.pca(x_NA), x_NA)
  assert (features > 0).sum(1).mean() > K
  assert ((features_NA - x_NA) ** 2).sum() > 3 * error.sum()


def test_independent_components_rebuild_what_they_were_made_of():
  rng = np.random.default_rng(0)
  kept = rng.random((4_000, A)).argsort(1) < K
  sources = rng.laplace(size=(4_000, A)) * kept
  mixing = rng.normal(size=(A, A))
  x_NA = (sources @ mixing + 1).astype(np.float32)
  control = controls.ica(x_NA, seed=0, passes=200)
  left = {}
  for k in (K, K - 1):
    _, recon_NA = reconstruct(baselines.components(control, k), x_NA)
    left[k] = ((recon_NA - x_NA) ** 2).sum() / (
      (x_NA - x_NA.mean(0)) ** 2
    ).sum()
  assert left[K] < 0.02 < left[K - 1]


@pytest.mark.parametrize('block', [64, 10_000])
def test_a_refitted_decoder_is_that_of_least_squares(block):
  x_NA = activations()
  density_F = np.linspace(0.02, 0.4, 30)
  density_F[7] = 0
  sae = controls.random(x_NA, density_F, seed=0)
  refitted = baselines.refit(sae, x_NA, DOT, block)
  f_NF, before_NA = reconstruct(sae, x_NA)
  wide = np.concatenate([f_NF, np.ones((len(f_NF), 1))], 1).astype(float)
  want, *_ = np.linalg.lstsq(wide, x_NA.astype(float), rcond=None)
  np.testing.assert_allclose(refitted.W_dec_FA, want[:-1], atol=2e-3)
  np.testing.assert_allclose(refitted.b_dec_A, want[-1], atol=2e-3)
  # The features are as they were, and what they rebuild is the projection.
  again_NF, recon_NA = reconstruct(refitted, x_NA)
  np.testing.assert_allclose(again_NF, f_NF, atol=2e-3)
  np.testing.assert_allclose(recon_NA, wide @ want, atol=0.02)
  error = lambda recon_NA: ((recon_NA - x_NA) ** 2).sum()
  assert error(recon_NA) < 0.5 * error(before_NA)
  # One that never fires says nothing.
  assert f_NF[:, 7].max() == 0
  np.testing.assert_array_equal(refitted.W_dec_FA[7], 0)


def test_a_planted_decoder_is_found():
  rng = np.random.default_rng(3)
  # Five neurons are read; the other four are made of what is read.
  planted, bias = rng.normal(size=(5, 4)), rng.normal(size=4)
  read = rng.normal(size=(3_000, 5))
  f_NF = np.maximum(read - 0.5, 0)
  x_NA = np.concatenate([read, f_NF @ planted + bias], 1).astype(np.float32)
  sae = SAE(
    W_enc_AF=np.eye(A, 5, dtype=np.float32),
    b_enc_F=np.full(5, 0.5, np.float32),
    W_dec_FA=np.zeros((5, A), np.float32),
    b_dec_A=np.ones(A, np.float32),
  )
  refitted = baselines.refit(sae, x_NA, DOT)
  np.testing.assert_allclose(refitted.W_dec_FA[:, 5:], planted, atol=1e-4)
  np.testing.assert_allclose(refitted.b_dec_A[5:], bias, atol=1e-4)
  again_NF, _ = reconstruct(refitted, x_NA)
  np.testing.assert_allclose(again_NF, f_NF, atol=1e-4)


def test_the_bytes_are_those_of_float64():
  assert baselines.gram_bytes(11) == np.zeros((11, 11)).nbytes
