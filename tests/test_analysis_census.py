"""The density report, on densities that are known."""

import itertools
import json

import jax
import numpy as np
import pytest

from monosem_jax.analysis import census
from monosem_jax.dictionary import sae as sae_lib

TOKENS = 10_000_000


def two_modes(rng) -> np.ndarray:
  low = rng.normal(-6.2, 0.3, 300)
  high = rng.normal(-3.3, 0.6, 700)
  fired_F = (10 ** np.concatenate([low, high]) * TOKENS).astype(np.int64)
  return np.concatenate([fired_F, np.zeros(24, np.int64)])


def test_the_report_counts_what_the_paper_counts():
  fired_F = two_modes(np.random.default_rng(0))
  found = census.census(fired_F, TOKENS)
  json.dumps(found, allow_nan=False)
  dead, ultralow = (fired_F == 0).sum(), (fired_F < 10).sum()
  assert found['dead'] == dead
  assert found['ultralow'] == ultralow - dead
  assert found['live'] == fired_F.size - ultralow
  assert found['l0'] == pytest.approx(sum(fired_F.tolist()) / TOKENS)
  assert found['above_1_percent'] == (fired_F > 100_000).sum()
  assert sum(found['histogram']) == fired_F.size - dead
  # Cut at some edges, the bars hold what lies above these.
  for edge, bars in ((-6, 30), (-5, 40), (-3, 60)):
    above = (fired_F >= 10**edge * TOKENS * (1 - 1e-9)).sum()
    assert sum(found['histogram'][bars:]) == above


def test_modes_are_found_where_they_were_put():
  fired_F = two_modes(np.random.default_rng(1))
  found = census.modes(census.log_density(fired_F, TOKENS))
  assert found.low == pytest.approx(-6.2, abs=0.1)
  assert found.high == pytest.approx(-3.3, abs=0.1)
  assert -5.6 < found.border < -4.6
  assert found.low_features == pytest.approx(300, abs=15)
  assert found.separation > 4


def test_the_border_has_the_least_variance_inside_both_modes():
  x = np.random.default_rng(2).normal(size=30).round(1)

  def inside(border):
    parts = x[x <= border], x[x > border]
    return sum(((p - p.mean()) ** 2).sum() for p in parts)

  borders = [(a + b) / 2 for a, b in itertools.pairwise(np.unique(x))]
  assert census.modes(x).border == pytest.approx(min(borders, key=inside))


def test_one_density_is_no_two_modes():
  assert census.modes(np.array([-np.inf, -3.0, -3.0])) is None
  assert census.census(np.zeros(5, np.int64), TOKENS)['modes'] is None
  two = census.modes(np.array([-5.0, -5.0, -2.0]))
  assert (two.border, two.low_features) == (-3.5, 2)


def test_three_ways_are_of_each_feature():
  sae = sae_lib.init(jax.random.key(0), 6, 9)
  found = census.three_ways(sae, np.arange(9.0))
  for i in range(9):
    row, column = np.asarray(sae.W_dec_FA)[i], np.asarray(sae.W_enc_AF)[:, i]
    assert found['alignment_F'][i] == pytest.approx(row @ column, abs=1e-6)
  np.testing.assert_array_equal(found['log_density_F'], np.arange(9))
  np.testing.assert_array_equal(found['encoder_bias_F'], 0)
