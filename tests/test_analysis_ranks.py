"""Rankings by features: pairs of tokens, loops and scikit-learn as oracles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

from monosem_jax.analysis import ranks
from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments

N, F, L, INTERVALS = 480, 6, 4, 6
DOT = Dot(jnp.dtype(jnp.float32))


def tokens() -> tuple[np.ndarray, np.ndarray]:
  """Activations on a grid, so that some stand on an edge; and labels."""
  rng = np.random.default_rng(5)
  on_NL = rng.random((N, L)) < (
    0.3,
    0.1,
    0.6,
    0,
  )  # not exclusive; the last none
  f_NF = np.maximum(rng.integers(-8, 13, (N, F)), 0) / 2
  f_NF[:, 1] += 3 * on_NL[:, 1]
  f_NF[:, 2] = 0  # never fires
  f_NF[:, 3] = on_NL[:, 0] * 1.5  # one value
  f_NF[:, 4] *= rng.random(N) < 0.03  # sparse
  return f_NF.astype(np.float32), on_NL


def edges() -> np.ndarray:
  return ranks.edges(tokens()[0].max(0), INTERVALS)


@functools.cache
def counted(dtype: str = 'float32') -> np.ndarray:
  step = ranks.make_ranks(
    lambda edges_FI, batch: (*batch, edges_FI), Dot(jnp.dtype(dtype))
  )
  f_NF, on_NL = tokens()
  batches = [(f_NF[p], on_NL[p]) for p in (slice(0, 160), slice(160, N))]
  return moments.collect(step, jnp.asarray(edges()), batches)


def binned() -> np.ndarray:
  f_NF, edge_FI = tokens()[0], edges()
  found = np.zeros((N, F), int)
  for n in range(N):
    for i in range(F):
      found[n, i] = sum(f_NF[n, i] > edge for edge in edge_FI[i])
  return found


def test_edges_are_even_and_begin_at_0():
  found = ranks.edges(np.array([3.0, 0.0]), 3)
  np.testing.assert_allclose(found[0], [0, 1, 2])
  assert (found[1] < 1e-6).all() and (np.diff(found[1]) > 0).all()


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_counts_are_those_of_loops(dtype):
  on_NL, bin_NF = tokens()[1], binned()
  on_LFB, off_LFB = ranks.parts(counted(dtype))
  assert on_LFB.shape == (L, F, INTERVALS + 1)
  want = np.zeros((2, L, F, INTERVALS + 1))
  for n in range(N):
    for k in range(L):
      for i in range(F):
        want[int(on_NL[n, k]), k, i, bin_NF[n, i]] += 1
  np.testing.assert_array_equal(on_LFB, want[1])
  np.testing.assert_array_equal(off_LFB, want[0])
  # Some stand on an edge, and are in the interval below.
  pairs = zip(tokens()[0].T, edges(), strict=True)
  assert any(np.isin(f_N, edge_I[1:]).any() for f_N, edge_I in pairs)


def test_auc_is_that_of_all_pairs_of_tokens():
  on_NL, bin_NF = tokens()[1], binned()
  found = ranks.auc(*ranks.parts(counted()))
  assert np.isnan(found[3]).all()
  for k in range(3):
    for i in range(F):
      on, off = bin_NF[on_NL[:, k], i], bin_NF[~on_NL[:, k], i]
      wins = (on[:, None] > off).mean() + (on[:, None] == off).mean() / 2
      assert found[k, i] == pytest.approx(wins, abs=1e-12)
  np.testing.assert_allclose(found[:3, 2], 0.5)
  assert found[0, 3] == 1
  # Of a sparse feature it is known beforehand, up to its own few activations.
  f = tokens()[0][:, 4] > 0
  for k in range(3):
    finds, wrong = f[on_NL[:, k]].mean(), f[~on_NL[:, k]].mean()
    assert found[k, 4] == pytest.approx((1 + finds - wrong) / 2, abs=0.01)


def test_average_precision_is_that_of_loops_and_of_scikit_learn():
  on_NL, bin_NF = tokens()[1], binned()
  found = ranks.average_precision(*ranks.parts(counted()))
  assert np.isnan(found[3]).all()
  for k in range(3):
    on = on_NL[:, k]
    for i in range(F):
      total, recall = 0.0, 0.0
      for least in range(INTERVALS, -1, -1):
        taken = bin_NF[:, i] >= least
        if taken.any():
          gained = on[taken].sum() / on.sum()
          total += (gained - recall) * on[taken].mean()
          recall = gained
      assert found[k, i] == pytest.approx(total, abs=1e-12)
      other = metrics.average_precision_score(on, bin_NF[:, i])
      assert found[k, i] == pytest.approx(other, abs=1e-12)
    assert found[k, 2] == pytest.approx(on.mean())  # the base rate
  assert found[0, 3] == 1


def test_f1_is_that_of_guesses_above_every_edge():
  f_NF, on_NL = tokens()
  found = ranks.f1(*ranks.parts(counted()))
  assert found.shape == (L, F, INTERVALS) and np.isnan(found[3]).all()
  for k in range(3):
    for i in range(F):
      for t, edge in enumerate(edges()[i]):
        guess, on = f_NF[:, i] > edge, on_NL[:, k]
        both = (guess & on).sum()
        want = 2 * both / (guess.sum() + on.sum())
        assert found[k, i, t] == pytest.approx(want, abs=1e-12)
        other = metrics.f1_score(on, guess, zero_division=0)
        assert found[k, i, t] == pytest.approx(other, abs=1e-12)
  assert found[0, 3, 0] == 1 and (found[:3, 2] == 0).all()


@pytest.mark.parametrize('shape', [(8, 1), (4, 2)])
def test_a_mesh_counts_the_same(shape):
  with jax.set_mesh(meshes.make_mesh(settings.Mesh(*shape))):
    got = counted.__wrapped__()
  np.testing.assert_array_equal(got, counted())
