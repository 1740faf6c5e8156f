"""The sample of firings is of true ones, each at most once."""

import dataclasses

import numpy as np
from counted import (
  CONFIG,
  CONTEXTS,
  DENSE,
  DOT,
  F,
  dictionary,
  forward,
  model,
  tokens,
  truth,
)

from monosem_jax.features import collect


def collected(**changes) -> collect.Found:
  c = dataclasses.replace(CONFIG, **changes)

  def batches():
    for i in range(0, CONTEXTS, c.batch_size):
      at = np.arange(i, i + c.batch_size, dtype=np.int32)
      yield tokens()[at], at

  return collect.collect(
    c,
    forward,
    DOT,
    model(),
    dictionary(),
    batches,
    tokens().size,
    lambda n: None,
  )


def test_a_sample_is_of_true_firings_each_at_most_once():
  found = collected(activations=30)
  sampled_F = np.bincount(found.feature_M, minlength=F)
  fired_F = (truth() > 0).sum((0, 1))
  assert sampled_F.max() == 30
  # Densities are estimated, so a few may be missing; but only a few.
  assert (sampled_F >= 0.5 * np.minimum(fired_F, 30)).all()
  at = found.context_M, found.position_M, found.feature_M
  np.testing.assert_allclose(found.value_M, truth()[at], rtol=1e-4, atol=1e-3)
  assert (truth()[at] > 0).all()
  assert len(set(zip(*map(list, at), strict=True))) == found.value_M.size
  # Not the first ones that came: contexts of the whole pass are in it.
  dense = found.context_M[found.feature_M == DENSE]
  assert dense.min() < 4 and dense.max() >= 12
  # Sorted by feature, then by value.
  key = list(zip(found.feature_M, found.value_M, strict=True))
  assert key == sorted(key)


def test_a_sample_is_full_however_little_is_read_to_learn_densities():
  # A batch is 96 tokens and cannot be read in part; 1% of them are 3.
  found = collected(sample_fraction=0.01, activations=tokens().size)
  np.testing.assert_array_equal(
    np.bincount(found.feature_M, minlength=F), found.fired_F
  )


def test_a_sample_is_no_choice_by_strength():
  # Half of a dense feature's firings: their mean is near that of all.
  found = collected(activations=190)
  own = found.value_M[found.feature_M == DENSE]
  everything = truth()[:, :, DENSE]
  assert own.size == 190
  error = everything.std() * (1 / 190 - 1 / everything.size) ** 0.5
  assert abs(own.mean() - everything.mean()) < 4 * error
