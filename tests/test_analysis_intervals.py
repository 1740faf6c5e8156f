"""Intervals against closed forms, and how often they hold the truth."""

import numpy as np
import pytest

from monosem_jax.analysis import intervals


def test_the_interval_of_a_mean_is_that_of_the_central_limit():
  x_N = np.random.default_rng(0).exponential(size=4_000)
  low, high = intervals.of(x_N, np.mean)
  half = 1.96 * x_N.std() / np.sqrt(x_N.size)
  assert low == pytest.approx(x_N.mean() - half, abs=0.1 * half)
  assert high == pytest.approx(x_N.mean() + half, abs=0.1 * half)


def test_intervals_of_medians_hold_the_truth_nineteen_times_in_twenty():
  rng, held = np.random.default_rng(1), 0
  for _ in range(200):
    low, high = intervals.of(rng.normal(2, 1, 101), seed=int(rng.integers(1e9)))
    held += low <= 2 <= high
  # Binomial with 200 trials of 0.95: outside once in 1,000.
  assert 178 <= held <= 199


def test_intervals_of_ratios_hold_the_truth_where_documents_differ():
  """Groups of tokens that are alike inside: 64 numbers, not 6,400."""
  rng, held, narrow = np.random.default_rng(2), 0, 0
  for _ in range(200):
    of_group_G = rng.normal(0.5, 0.2, 64)
    tokens_G = rng.integers(50, 150, 64)
    hits_G = of_group_G * tokens_G
    low, high = intervals.over_groups(
      {'hits': hits_G, 'tokens': tokens_G},
      lambda s: s['hits'] / s['tokens'],
      seed=int(rng.integers(1e9)),
    )
    held += low <= 0.5 <= high
    # As if all tokens were independent, which they are not.
    p = hits_G.sum() / tokens_G.sum()
    narrow += abs(p - 0.5) <= 1.96 * np.sqrt(p * (1 - p) / tokens_G.sum())
  assert 178 <= held <= 199
  assert narrow < 100


def test_there_is_no_interval_of_one_value_or_of_what_is_not_there():
  assert intervals.of(np.array([1.0, np.nan])) is None
  assert intervals.over_groups({'x': np.ones(1)}, lambda s: s['x']) is None
  assert intervals.over_groups({'x': np.ones(4)}, lambda s: None) is None
