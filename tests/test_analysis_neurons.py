"""Measures of features, on activations and tables made by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from monosem_jax.analysis import neurons
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments
from monosem_jax.features.table import FeatureTable

W, BEFORE = 5, 2


def test_kurtosis_is_that_of_all_batches_together():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(6, 500, 4)).astype(np.float32)
  x[..., 1] = np.maximum(x[..., 1] - 1.5, 0)  # rare
  x[..., 2] = 0.3  # constant
  x[..., 3] += 2
  powers = neurons.make_powers(lambda scale, batch: scale * batch)
  got, density = neurons.kurtosis(powers, jnp.float32(2), x)
  np.testing.assert_allclose(density, (x > 0).mean((0, 1)))
  for i in (0, 1, 3):
    want = scipy.stats.kurtosis(x[..., i].ravel().astype(float), fisher=False)
    assert got[i] == pytest.approx(want, rel=1e-3)
  assert np.isnan(got[2])
  assert got[1] > 20 and 2.5 < got[0] < 3.5


def test_coefficients_hold_their_share_of_the_norm():
  rows = np.array(
    [
      [0.0, 1.0, 0.0, 0.0],
      [0.5, -0.5, 0.5, -0.5],
      [0.9, 0.3, 0.3, -0.1],
      [0.0, 0.0, 0.0, 0.0],
    ]
  )
  # Of 0.81, 0.09, 0.09, 0.01: 0.9 of the norm is held by the first two.
  assert neurons.coefficients_of(rows, 0.9 - 1e-9).tolist() == [1, 4, 2, 0]
  assert neurons.coefficients_of(rows, 0.75).tolist() == [1, 3, 1, 0]


def correlations(x, y):
  """Pearson's and the cosine, of all columns."""
  F = x.shape[1]
  with np.errstate(invalid='ignore', divide='ignore'):
    r = np.nan_to_num(np.corrcoef(x.T, y.T)[:F, F:])
    cosine = np.nan_to_num(
      x.T @ y / np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0))
    )
  # Of what is constant rounding is left.
  return np.where(np.abs(r) < 1e-9, 0, r), cosine


def test_the_most_correlated_neurons_are_found_on_one_half_told_of_the_other():
  rng = np.random.default_rng(3)
  N, F, A = 400, 6, 9
  x = np.maximum(rng.normal(size=(N, F)) - 0.5, 0)
  y = np.maximum(rng.normal(size=(N, A)) + 0.8 * x[:, :1] - x[:, 1:2], 0)
  x[:, 4] = 0  # never fires
  y[:, 2] = 0
  y[:, 3] = 0.7  # constant: goes with nothing
  parts = [slice(0, 200), slice(200, N)]
  y[parts[0], 6] += 9 * x[parts[0], 5]  # goes with it on one half alone
  step = moments.make_step(lambda _, b: b, Dot(jnp.dtype(jnp.float32)))
  halves = [
    moments.collect(
      step, None, [(x[half].astype(np.float32), y[half].astype(np.float32))]
    )
    for half in parts
  ]
  found = neurons.most_correlated(*halves, 3)
  searched, _ = correlations(x[parts[0]], y[parts[0]])
  r, cosine = correlations(x[parts[1]], y[parts[1]])
  for i in range(F):
    own = found.neuron_F3[i]
    if i != 4:
      want = np.argsort(-searched[i], kind='stable')[:3]
      np.testing.assert_array_equal(own, want)
    np.testing.assert_allclose(found.neuron_r_F3[i], r[i, own], atol=1e-4)
    np.testing.assert_allclose(
      found.neuron_cosine_F3[i], cosine[i, own], atol=1e-4
    )
  assert not found.neuron_cosine_F3[4].any() and not found.neuron_r_F3[4].any()
  # Not the same: a cosine is about 0, a correlation about the means.
  assert np.abs(found.neuron_cosine_F3 - found.neuron_r_F3).max() > 0.1
  # What was luck is not told as if it were none.
  assert found.neuron_F3[5, 0] == 6 and searched[5, 6] > 0.9
  assert abs(found.neuron_r_F3[5, 0]) < 0.3


def test_controls_are_matched_by_the_nearest_log_density():
  rng = np.random.default_rng(4)
  density = 10 ** rng.uniform(-5, 0, 300)
  control = 10 ** rng.uniform(-4, -1, 40)
  density[7], control[3], control[9] = 0, 0, 1e-2
  density[8] = 1e-2
  found = neurons.matched(density, control)
  for i, own in enumerate(density):
    away = [
      abs(np.log10(own / other)) if own and other else np.inf
      for other in control
    ]
    if min(away) > 0.1:
      assert found[i] == -1
    else:
      assert away[found[i]] == min(away)
  assert found[8] == 9 and found[7] == -1
  assert (found < 0).any() and (found >= 0).sum() > 50
  assert (neurons.matched(density, np.zeros(3)) == -1).all()


def test_rank_correlation_is_that_of_scipy():
  rng = np.random.default_rng(6)
  x = rng.integers(0, 9, 80).astype(float)  # ties
  y = rng.normal(size=80) - x
  y[3] = np.nan
  there = np.isfinite(y)
  want = scipy.stats.spearmanr(x[there], y[there]).statistic
  assert neurons.rank_correlation(x, y) == pytest.approx(want)
  assert want < -0.5
  assert neurons.rank_correlation(x, np.ones(80)) is None


def table(tokens, acts, start, stop) -> FeatureTable:
  blank = {
    f.name: np.zeros(0)
    for f in dataclasses.fields(FeatureTable)
    if f.name != 'meta'
  }
  return FeatureTable(
    **blank
    | {
      'example_tokens_FEW': np.asarray(tokens, np.uint16),
      'example_acts_FEW': np.asarray(acts, np.float16),
      'example_start_FE': np.asarray(start, np.uint8),
      'example_stop_FE': np.asarray(stop, np.uint8),
    },
    meta={'groups': [{'name': 'Top Activations', 'start': 0, 'count': 3}]},
  )


def test_single_token_features_have_one_token_in_all_their_top_examples():
  F, E = 5, 4  # the fourth example is of another group
  tokens = np.random.default_rng(1).integers(10, 99, (F, E, W))
  acts = np.zeros((F, E, W))
  start, stop = np.zeros((F, E)), np.full((F, E), W)
  acts[..., BEFORE] = 1
  tokens[0, :3, BEFORE] = 7  # one token
  tokens[1, :3, BEFORE] = 7, 7, 8  # two
  # The strongest stands beside the centre.
  tokens[2, :3, BEFORE], acts[2, :3, 3] = (7, 8, 9), 2
  tokens[2, :3, 3] = 5
  stop[3] = 0  # never fires
  # Only one example; what lies outside its window does not count.
  tokens[4, 0, BEFORE], acts[4, 0, 0], start[4, 0] = 6, 9, 1
  stop[4, 1:] = 0
  t = table(tokens, acts, start, stop)
  assert neurons.single_token(t).tolist() == [True, False, True, False, True]
  assert neurons.diversity(t).tolist() == [1, 2, 1, 0, 1]


def test_single_document_features_have_all_top_examples_of_one():
  F, E = 4, 4  # the fourth example is of another group
  stop = np.full((F, E), W)
  stop[2, 1:] = 0  # one example alone
  stop[3] = 0  # never fires
  t = table(np.zeros((F, E, W)), np.ones((F, E, W)), np.zeros((F, E)), stop)
  documents = np.array([[5, 5, 5], [5, 5, 6], [4, 0, 0], [0, 0, 0]])
  found = neurons.single_document(t, documents)
  assert found.tolist() == [True, False, True, False]
