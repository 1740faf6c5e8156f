"""Which features live, on densities that are known."""

import itertools
import json

import numpy as np
import pytest

from monosem_jax.features import census

TOKENS = 10_000_000


def planted(rng, overlap: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
  """300 features of a low mode, then 700 live ones: fired_F, cosine_F.

  Densities lie 10 to the 2.9 apart, less `overlap` decades.
  """
  low, high = rng.normal(-4.6 + overlap, 0.3, 300), rng.normal(-1.7, 0.3, 700)
  fired_F = (10 ** np.concatenate([low, high]) * TOKENS).astype(np.int64)
  cosine_F = np.concatenate(
    [rng.normal(0.15, 0.05, 300), rng.normal(0.5, 0.07, 700)]
  )
  return fired_F, cosine_F.astype(np.float32)


def test_every_feature_is_of_one_class_and_the_numbers_say_how_many():
  fired_F, cosine_F = planted(np.random.default_rng(0))
  fired_F[:5], fired_F[5:9] = 0, (1, 9, 10, 11)
  found = census.classify(fired_F, TOKENS, cosine_F)
  want_F = np.repeat([census.LOW_MODE, census.LIVE], [300, 700])
  want_F[:5], want_F[5:7] = census.DEAD, census.RARE
  np.testing.assert_array_equal(found.class_F, want_F)
  numbers = census.numbers(found, fired_F)
  json.dumps(numbers, allow_nan=False)
  assert [numbers[name] for name in census.CLASSES] == [5, 2, 293, 700]
  assert numbers['ultralow'] == 2 and numbers['features'] == 1_000
  assert numbers['l0'] == pytest.approx(sum(fired_F.tolist()) / TOKENS)
  live = np.sort(fired_F[300:]) / TOKENS
  assert numbers['above_1_percent'] == (live > 0.01).sum()
  assert numbers['median_density'] == pytest.approx((live[349] + live[350]) / 2)
  assert sum(numbers['histogram']) == 995
  # Cut at some edges, the bars hold what lies above these.
  for edge, bars in ((-6, 30), (-5, 40), (-3, 60)):
    above = (fired_F >= 10**edge * TOKENS * (1 - 1e-9)).sum()
    assert sum(numbers['histogram'][bars:]) == above


def test_a_small_sample_cannot_tell_ultralow_densities_and_says_why():
  fired_F = np.array([0, 1, 9, 10, 5_000])
  found = census.classify(fired_F, 9_999_999, None, apart=100)
  numbers = census.numbers(found, fired_F)
  assert numbers['rare'] == 2 and numbers['ultralow'] is None
  assert '9,999,999' in numbers['ultralow_reason']
  assert '10,000,000' in numbers['ultralow_reason']


def test_a_large_sample_counts_densities_below_one_in_a_million():
  # At 20 million tokens, 20 firings are a density of exactly 1e-6.
  fired_F = np.array([0, 1, 19, 20, 21, 20_000_000])
  found = census.classify(fired_F, 20_000_000, None, apart=100)
  assert census.counts(found.class_F) == {
    'dead': 1,
    'rare': 2,
    'low_mode': 0,
    'live': 3,
  }


def test_modes_that_overlap_in_density_are_told_apart_by_the_cosine_too():
  fired_F, cosine_F = planted(np.random.default_rng(1), overlap=2.3)
  log_F = census.log_density(fired_F, TOKENS)
  # By density alone they cannot be: 0.6 decades apart, 0.3 wide.
  alone, both = census.modes(log_F, None), census.modes(log_F, cosine_F)
  wrong = lambda found: (found.low_F != (np.arange(1_000) < 300)).sum()
  assert wrong(alone) > 50 and wrong(both) < 10
  assert both.separation > 4 > alone.separation
  assert alone.weights == (1.0, 0.0) and both.weights[1] > 0.3
  assert both.low_cosine == pytest.approx(0.15, abs=0.02)
  assert both.high_density == pytest.approx(-1.7, abs=0.1)


@pytest.mark.parametrize('seed', range(5))
def test_one_mode_is_not_split(seed):
  rng = np.random.default_rng(seed)
  fired_F = (10 ** rng.normal(-3, 0.7, 1_000) * TOKENS).astype(np.int64)
  # Denser features have a larger cosine, as live ones do.
  cosine_F = 0.5 + 0.05 * np.log10(fired_F) + rng.normal(0, 0.05, 1_000)
  found = census.classify(fired_F, TOKENS, cosine_F)
  assert found.modes.separation < 3.5
  assert not (found.class_F == census.LOW_MODE).any()


def test_directions_of_one_cosine_are_split_by_density_alone():
  fired_F, _ = planted(np.random.default_rng(3))
  neurons = census.classify(fired_F, TOKENS, np.ones(1_000, np.float32))
  unknown = census.classify(fired_F, TOKENS, None)
  np.testing.assert_array_equal(neurons.class_F, unknown.class_F)
  assert (neurons.class_F == census.LOW_MODE).sum() == 300


def test_the_border_has_the_least_variance_inside_both_modes():
  x = np.random.default_rng(2).normal(size=30).round(1)

  def inside(border):
    parts = x[x <= border], x[x > border]
    return sum(((p - p.mean()) ** 2).sum() for p in parts)

  borders = [(a + b) / 2 for a, b in itertools.pairwise(np.unique(x))]
  assert census.split(x).border == pytest.approx(min(borders, key=inside))


def test_one_density_is_no_two_modes():
  assert census.modes(np.array([-np.inf, -3.0, -3.0]), None) is None
  none = np.zeros(5, np.int64)
  numbers = census.numbers(census.classify(none, TOKENS, None), none)
  assert numbers['modes'] is None and numbers['median_density'] is None
  three = census.split(np.array([-5.0, -4.9, -2.0]))
  assert three.border == pytest.approx(-3.45) and three.low_count == 2


def test_two_densities_have_no_distance_and_all_of_it_is_json():
  # Nothing varies inside two such modes: their distance would be infinite.
  assert census.split(np.array([-5.0, -5.0, -2.0])) is None
  fired_F = np.array([0, 20, 20, 900])
  found = census.classify(fired_F, TOKENS, np.array([0.0, 0.1, 0.3, 0.9]))
  numbers = census.numbers(found, fired_F)
  assert numbers['modes'] is None and numbers['live'] == 3
  json.dumps(numbers, allow_nan=False)


def test_the_cosine_is_of_each_encoder_column_with_its_decoder_row():
  rng = np.random.default_rng(4)
  W_enc_AF, W_dec_FA = rng.normal(size=(6, 9)), rng.normal(size=(9, 6))
  W_enc_AF[:, 8] = 0
  found_F = census.cosine(W_enc_AF, W_dec_FA)
  for i in range(8):
    x, y = W_enc_AF[:, i], W_dec_FA[i]
    want = x @ y / np.sqrt((x @ x) * (y @ y))
    assert found_F[i] == pytest.approx(want, abs=1e-6)
  assert found_F[8] == 0
