"""Nearest features, against NumPy on whole matrices."""

import numpy as np
import pytest

from monosem_jax.analysis import geometry

A, F, G, K = 8, 23, 17, 5


def rows(seed: int, features: int) -> np.ndarray:
  rng = np.random.default_rng(seed)
  rows_FA = rng.normal(size=(features, A))
  return rows_FA * rng.uniform(0.2, 4, (features, 1))


def fired(seed: int, features: int) -> np.ndarray:
  return np.random.default_rng(seed).random(features) < 0.7


def cosines(x_FA, y_GA) -> np.ndarray:
  x, y = (r / np.linalg.norm(r, axis=1, keepdims=True) for r in (x_FA, y_GA))
  return x @ y.T


def plain(cosine_FG, asked_F, among_G, itself: bool):
  """By sorting every row of the whole matrix."""
  index = np.full((len(cosine_FG), K), -1)
  cosine = np.full((len(cosine_FG), K), np.nan)
  for i in np.flatnonzero(asked_F):
    own = [j for j in np.flatnonzero(among_G) if not (itself and i == j)]
    own = sorted(own, key=lambda j: -cosine_FG[i, j])[:K]
    index[i, : len(own)] = own
    cosine[i, : len(own)] = cosine_FG[i, own]
  return index, cosine


@pytest.mark.parametrize('block', [1, 4, 1_000])
def test_nearest_in_another_dictionary(block):
  x, y, on_x, on_y = rows(0, F), rows(1, G), fired(2, F), fired(3, G)
  # The nearest of all would be one that never fired.
  y[np.flatnonzero(~on_y)[0]] = x[np.flatnonzero(on_x)[0]]
  assert not on_x.all()
  index, cosine = geometry.nearest(x, on_x, K, (y, on_y), block)
  want_index, want_cosine = plain(cosines(x, y), on_x, on_y, False)
  np.testing.assert_array_equal(index, want_index)
  np.testing.assert_allclose(cosine, want_cosine, atol=1e-6)
  assert index.dtype == np.int32 and cosine.dtype == np.float32


@pytest.mark.parametrize('block', [3, 1_000])
def test_nearest_in_its_own_dictionary_is_another_one(block):
  x, on = rows(0, F), fired(2, F)
  index, cosine = geometry.nearest(x, on, K, block=block)
  want_index, want_cosine = plain(cosines(x, x), on, on, True)
  np.testing.assert_array_equal(index, want_index)
  np.testing.assert_allclose(cosine, want_cosine, atol=1e-6)
  # Nor does a twin hide that.
  twins = np.flatnonzero(on)[-2:]
  x[twins[1]] = 3 * x[twins[0]]
  index, cosine = geometry.nearest(x, on, K, block=block)
  np.testing.assert_array_equal(index[twins, 0], twins[::-1])
  np.testing.assert_allclose(cosine[twins, 0], 1, atol=1e-6)


def test_fewer_than_asked_for_are_filled_up():
  x = rows(0, F)
  only = np.arange(F) < 3
  for others, want in ((None, 2), ((x, only), 3), ((x, np.zeros(F, bool)), 0)):
    index, cosine = geometry.nearest(x, only, K, others)
    assert ((index >= 0).sum(1) == np.where(only, want, 0)).all()
    np.testing.assert_array_equal(np.isnan(cosine), index < 0)
  none, _ = geometry.nearest(x, np.zeros(F, bool), K)
  assert (none == -1).all()
