"""Features against labels: loops over the tokens as the oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import labels
from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments

N, K, BATCHES = 40, 4, 5
EDGES = np.array([[0, 0.5, 1.0]] * 3 + [[0, 0.25, 4.0]])
DOT = Dot(jnp.dtype(jnp.float32))


def tokens() -> tuple[np.ndarray, np.ndarray]:
  """Activations on a grid, so that some stand on an edge; and labels."""
  rng = np.random.default_rng(0)
  f = np.maximum(rng.integers(-6, 12, (BATCHES, N, K)), 0) / 8
  on = rng.random((BATCHES, N, K)) < 0.1 + 0.5 * f
  f[..., 1] = 0  # never fires
  on[..., 2] = False  # nowhere
  return f.astype(np.float32), on


@functools.cache
def found() -> labels.Overlap:
  step = labels.make_step(lambda scale, b: (scale * b[0], b[1]), EDGES)
  return moments.collect(step, 1.0, zip(*tokens(), strict=True))


def by_loops():
  """Tokens and activation by pair, label and bin."""
  count, mass = np.zeros((2, K, 4)), np.zeros((2, K, 4))
  f, on = (x.reshape(-1, K) for x in tokens())
  for n in range(len(f)):
    for k in range(K):
      b = sum(f[n, k] > edge for edge in EDGES[k])
      count[int(on[n, k]), k, b] += 1
      mass[int(on[n, k]), k, b] += f[n, k]
  return count, mass


def test_sums_are_those_of_loops():
  (off, on), (mass_off, mass_on) = by_loops()
  got = found()
  np.testing.assert_array_equal(got.on_KB, on)
  np.testing.assert_array_equal(got.off_KB, off)
  np.testing.assert_allclose(got.mass_on_KB, mass_on, rtol=1e-6)
  np.testing.assert_allclose(got.mass_off_KB, mass_off, rtol=1e-6)
  assert (on[0] > 0).all() and got.on_KB.sum() + got.off_KB.sum() == 5 * N * K
  # An activation on an edge is in the interval below.
  assert (tokens()[0][..., 0] == EDGES[0, 1]).any()


def test_specificity_and_sensitivity():
  f, on = (x.reshape(-1, K).astype(float) for x in tokens())
  specific = labels.specificity(found())
  with_KB, without_KB = labels.expected_value(found())
  tokens_K, mass_K = labels.sensitivity(found())
  for k in (0, 3):
    fires, has = f[:, k] > 0, on[:, k] > 0
    np.testing.assert_allclose(specific[k, 0], has[~fires].mean())
    for b in (1, 2, 3):
      low, high = EDGES[k, b - 1], [*EDGES[k], np.inf][b]
      inside = (f[:, k] > low) & (f[:, k] <= high)
      if inside.any():
        np.testing.assert_allclose(specific[k, b], has[inside].mean())
      else:
        assert np.isnan(specific[k, b])
      for share, which in ((with_KB, has), (without_KB, ~has)):
        want = f[inside & which, k].sum() / f[:, k].sum()
        np.testing.assert_allclose(share[k, b], want, atol=1e-7)
    np.testing.assert_allclose(tokens_K[k], fires[has].mean())
    np.testing.assert_allclose(mass_K[k], f[has, k].sum() / f[:, k].sum())
  np.testing.assert_allclose((with_KB + without_KB).sum(1)[[0, 3]], 1)


def test_what_there_is_nothing_of_has_no_share():
  tokens_K, mass_K = labels.sensitivity(found())
  assert tokens_K[1] == 0 and np.isnan(mass_K[1])  # never fires
  assert np.isnan(tokens_K[2]) and mass_K[2] == 0  # no such tokens
  assert np.isnan(labels.expected_value(found())[0][1]).all()
  assert np.isnan(labels.specificity(found())[1, 1:]).all()
  assert (labels.specificity(found())[2] == 0).all()


@pytest.mark.parametrize('shape', [(8, 1), (4, 2)])
def test_a_mesh_finds_the_same(shape):
  want = found()
  with jax.set_mesh(meshes.make_mesh(settings.Mesh(*shape))):
    got = found.__wrapped__()
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, want
  )


def test_the_best_feature_is_found_on_one_half_and_reported_on_the_other():
  rng = np.random.default_rng(1)
  on = (rng.random((2, 400, 4)) < 0.3).astype(np.float32)
  x = rng.random((2, 400, 6)).astype(np.float32)
  x[..., 3] += 2 * on[..., 0]  # a good one
  x[0, :, 5] += 9 * on[0, :, 0]  # better, on the first half only
  x[..., 2] += 3 * on[..., 1]
  x[..., 4] = 0
  on[0, :, 2], on[1, :, 3] = 0, 1  # do not vary in a half
  step = moments.make_step(lambda _, b: b, DOT)
  halves = [moments.collect(step, None, [(x[i], on[i])]) for i in (0, 1)]
  first, second, *rest = labels.best(*halves)
  assert (first.index, second.index) == (5, 2) and rest == [None, None]
  for b, y in ((first, 0), (second, 1)):
    r = [np.corrcoef(x[i, :, b.index], on[i, :, y])[0, 1] for i in (0, 1)]
    np.testing.assert_allclose([b.found, b.reported], r, atol=1e-5)
  assert first.found > 0.9 and abs(first.reported) < 0.2
  other, *_ = labels.best(*halves[::-1])
  assert other.index == 3 and other.reported > 0.8


def test_no_feature_goes_with_it():
  x, on = np.zeros((50, 3), np.float32), np.arange(50)[:, None] % 2
  step = moments.make_step(lambda _, b: b, DOT)
  m = moments.collect(step, None, [(x, on.astype(np.float32))])
  assert labels.best(m, m) == [None]


def test_pearson_and_the_base_rate_are_those_of_all_tokens():
  f, on = (x.reshape(-1, K).astype(float) for x in tokens())
  r, share = labels.pearson(found()), labels.base_rate(found())
  np.testing.assert_allclose(share, on.mean(0))
  for k in (0, 3):
    want = np.corrcoef(f[:, k], on[:, k])[0, 1]
    np.testing.assert_allclose(r[k], want, atol=1e-5)
  assert np.isnan(r[1]) and np.isnan(r[2])  # one of them does not vary


def test_groups_of_tokens_are_kept_apart():
  G = 3
  group = np.random.default_rng(2).integers(G, size=(BATCHES, N))
  group = group.astype(np.int32)
  step = labels.make_step(lambda scale, b: (scale * b[0], *b[1:]), EDGES, G)
  got = moments.collect(step, 1.0, zip(*tokens(), group, strict=True))
  assert got.on_KB.shape == (G, K, 4) and got.square_K.shape == (G, K)
  f, on = (x.reshape(-1, K).astype(float) for x in tokens())
  for g in range(G):
    own = group.reshape(-1) == g
    alone = moments.collect(
      labels.make_step(lambda _, b: b, EDGES),
      None,
      [(f[own].astype(np.float32), on[own] > 0)],
    )
    jax.tree.map(
      lambda a, b, g=g: np.testing.assert_allclose(a[g], b, rtol=1e-6),
      got,
      alone,
    )
    np.testing.assert_allclose(got.on_KB[g].sum(-1), on[own].sum(0))
    # Every measure takes groups as it takes none.
    of_groups = labels.pearson(got)[g, [0, 3]]
    np.testing.assert_allclose(of_groups, labels.pearson(alone)[[0, 3]])
    for a, b in zip(
      labels.sensitivity(got), labels.sensitivity(alone), strict=True
    ):
      np.testing.assert_allclose(a[g], b, rtol=1e-6)
  np.testing.assert_allclose(got.square_K.sum(0), np.square(f).sum(0))
