"""Cross-moments against NumPy on the tokens themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments

X, Y, N, BATCHES = 16, 7, 40, 5
DOT = Dot(jnp.dtype(jnp.float32))


def activations() -> tuple[np.ndarray, np.ndarray]:
  rng = np.random.default_rng(0)
  x = np.maximum(rng.normal(size=(BATCHES, N, X)) - 0.7, 0)
  y = np.maximum(rng.normal(size=(BATCHES, N, Y)) - 0.5, 0)
  y[..., 2] = 2 * x[..., 5]  # alike
  y[..., 3] = x[..., 5] * (rng.random((BATCHES, N)) < 0.3)  # a part of it
  x[..., 1] = 0.0  # never fires
  y[..., 6] = 0.7  # constant
  return x.astype(np.float32), y.astype(np.float32)


def found(masked: bool = True) -> moments.Moments:
  step = moments.make_step(lambda scale, b: (scale * b[0], b[1]), DOT, masked)
  return moments.collect(step, 1.0, zip(*activations(), strict=True))


def flat() -> tuple[np.ndarray, np.ndarray]:
  x, y = activations()
  return x.reshape(-1, X).astype(float), y.reshape(-1, Y).astype(float)


def test_correlation_is_pearsons_and_0_for_constants():
  (x, y), r = flat(), moments.correlation(found(masked=False))
  assert np.isfinite(r).all()
  for i in range(X):
    for j in range(Y):
      if i == 1 or j == 6:
        assert r[i, j] == 0
      else:
        want = np.corrcoef(x[:, i], y[:, j])[0, 1]
        np.testing.assert_allclose(r[i, j], want, atol=1e-5)
  np.testing.assert_allclose(r[5, 2], 1, atol=1e-5)


def test_masked_cosine_looks_where_one_of_both_fires():
  (x, y), s = flat(), moments.masked_cosine(found())
  for i in range(X):
    for j in range(Y):
      cosines = [0.0]
      for fires in (x[:, i] > 0, y[:, j] > 0):
        a, b = x[fires, i], y[fires, j]
        if a.any() and b.any():
          cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
      np.testing.assert_allclose(s[i, j], max(cosines), atol=1e-5)
  # A feature that fires on a part of another's tokens is like it there, which
  # the cosine over all tokens would not say.
  assert s[5, 3] > 0.999
  whole = x[:, 5] @ y[:, 3] / np.linalg.norm(x[:, 5]) / np.linalg.norm(y[:, 3])
  assert whole < 0.8


@pytest.mark.parametrize('shape', [(8, 1), (4, 2), (1, 8)])
def test_a_mesh_finds_the_same(shape):
  want = found()
  with jax.set_mesh(meshes.make_mesh(settings.Mesh(*shape))):
    got = found()
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, want
  )


def test_fetching_now_and_then_changes_nothing(monkeypatch):
  want = found()
  for every in (1, 2, BATCHES):
    monkeypatch.setattr(moments, '_FETCHED', every)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found(), want
    )


def test_blocks_cover_all_within_the_memory():
  got = moments.blocks(131_072, 131_072, 1, 2**33)
  assert [s.start for s in got[1:]] == [s.stop for s in got[:-1]]
  assert got[0].start == 0 and got[-1].stop == 131_072
  assert all((s.stop - s.start) * 131_072 * 8 <= 2**33 for s in got)
  assert len(got) == 16
  assert moments.blocks(3, 10**9, 3, 1.0) == [
    slice(0, 1),
    slice(1, 2),
    slice(2, 3),
  ]
