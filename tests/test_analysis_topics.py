"""The language of planted features and its measures, against brute force."""

import itertools

import numpy as np
import pytest

from monosem_jax.analysis import topics
from monosem_jax.config import settings

C = settings.Topics(topics=3, words=5, noise=0.0, context=7)


def drawn(contexts: int, **changes) -> tuple:
  c = settings.Topics(**{'topics': 3, 'words': 5, 'context': 7, **changes})
  next_KM = topics.successors(c, seed=4)
  tokens_BT = topics.draw(c, next_KM, contexts, np.random.default_rng(0))
  return c, next_KM, tokens_BT


def test_without_noise_every_word_is_its_topics_successor():
  c, next_KM, tokens_BT = drawn(200, noise=0.0)
  assert tokens_BT.shape == (200, 7) and tokens_BT.dtype == np.int32
  assert topics.vocab_size(c) == 9
  assert set(tokens_BT[:, 0]) == {1, 2, 3}
  assert (
    set(tokens_BT[:, 1]) == set(tokens_BT[:, 2:].ravel()) == {4, 5, 6, 7, 8}
  )
  for topic, *words in tokens_BT.tolist():
    for before, after in itertools.pairwise(words):
      assert after - 4 == next_KM[topic - 1, before - 4]
  assert [sorted(row) for row in next_KM.tolist()] == [[0, 1, 2, 3, 4]] * 3
  assert len({tuple(row) for row in next_KM.tolist()}) == 3


def test_noise_is_a_share_of_the_words_and_leaves_pairs_equally_likely():
  c, next_KM, tokens_BT = drawn(20_000, noise=0.3)
  pair_BT = topics.pairs(c, tokens_BT)
  assert pair_BT.shape == (20_000, 5)
  follows = next_KM.ravel()[pair_BT] == tokens_BT[:, 2:] - 4
  assert follows.mean() == pytest.approx(0.7 + 0.3 / 5, abs=0.01)
  share_P = np.bincount(pair_BT.ravel(), minlength=15) / pair_BT.size
  np.testing.assert_allclose(share_P, 1 / 15, rtol=0.05)
  for b in range(5):
    for t in range(5):
      topic, word = tokens_BT[b, 0] - 1, tokens_BT[b, t + 1] - 4
      assert pair_BT[b, t] == 5 * topic + word


@pytest.mark.parametrize('noise', [0.0, 0.25, 1.0])
def test_entropy_is_the_loss_of_the_true_probabilities(noise):
  c, next_KM, tokens_BT = drawn(20_000, noise=noise)
  p_PM = np.full((15, 5), noise / 5)
  p_PM[np.arange(15), next_KM.ravel()] += 1 - noise
  pair_BT = topics.pairs(c, tokens_BT)
  loss = -np.log(p_PM[pair_BT, tokens_BT[:, 2:] - 4]).mean()
  assert topics.entropy(c) == pytest.approx(loss, abs=0.01)
  if noise in (0, 1):
    assert topics.entropy(c) == pytest.approx(noise * np.log(5))


def test_what_is_kept_is_a_share_of_what_was_learned():
  c = settings.Topics(words=8)
  assert topics.kept(c, 1.0, 1.0) == 1
  assert topics.kept(c, np.log(8), 1.0) == pytest.approx(0)
  halfway = (np.log(8) + 1.0) / 2
  assert topics.kept(c, halfway, 1.0) == pytest.approx(0.5)


def test_the_purest_above_chance_is_chosen_of_those_that_keep_enough():
  c = settings.Topics(kept=0.9)
  row = lambda lead, kept: {'purity_lead': lead, 'kept': kept}
  rows = [row(0.1, 1.0), row(0.3, 0.9), row(0.2, 0.95), row(0.8, 0.89)]
  assert topics.choose(c, rows) == 1
  # No unit lives, or all lose too much.
  assert topics.choose(c, [row(None, 1.0), row(0.0, 1.0)]) == 1
  assert topics.choose(c, [row(None, 1.0), row(0.5, 0.2)]) is None


def test_purity_of_units_made_by_hand():
  next_KM = topics.successors(C, seed=0)
  topic_P, word_P = np.divmod(np.arange(15), 5)
  other = next(
    p
    for p in range(15)
    if topic_P[p] != topic_P[0]
    and word_P[p] != word_P[0]
    and next_KM.ravel()[p] != next_KM[0, 0]
  )
  units = {
    'a topic': (topic_P == 2, 1),
    'a word': (word_P == 3, 1),
    'a successor': (next_KM.ravel() == 1, 1),
    'a pair': (np.arange(15) == 7, 1),
    'two strangers': (np.isin(np.arange(15), [0, other]), 1 / 2),
    'one stronger': (
      3 * (np.arange(15) == 0) + (np.arange(15) == other),
      3 / 4,
    ),
    'two topics': (topic_P < 2, 1 / 2),
    'everything': (np.ones(15), 1 / 3),
    'nothing': (np.zeros(15), np.nan),
  }
  acts_PJ = np.stack([np.asarray(u, float) for u, _ in units.values()], 1)
  wanted = [want for _, want in units.values()]
  np.testing.assert_allclose(topics.purity(next_KM, acts_PJ), wanted)
  # Nothing depends on the scale of a unit.
  np.testing.assert_allclose(topics.purity(next_KM, 1e-3 * acts_PJ), wanted)


def test_what_fires_is_counted_token_by_token():
  c, next_KM, tokens_BT = drawn(60, noise=0.5)
  pair_N = topics.pairs(c, tokens_BT).ravel()
  rng = np.random.default_rng(3)
  acts_NJ = np.maximum(rng.normal(-1, 1, (pair_N.size, 4)), 0)
  acts_NJ[:, 2] = 0
  effect_J = np.array([0.2, 5.0, 5.0, 1e-3])
  found = topics.measure(
    next_KM, pair_N, acts_NJ.astype(np.float32), effect_J, seed=0
  )
  assert acts_NJ[:, 0].max() * 0.2 > 0.1
  assert found['live_J'].tolist() == [True, True, False, False]
  firing = [
    {j for j in (0, 1) if acts_J[j] >= 0.1 * acts_NJ[:, j].max()}
    for acts_J in acts_NJ
  ]
  assert found['active'] == pytest.approx(np.mean([len(f) for f in firing]))
  assert found['silent'] == pytest.approx(np.mean([not f for f in firing]))
  for j in range(4):
    mean_P = [acts_NJ[pair_N == p, j].mean() for p in range(15)]
    np.testing.assert_allclose(found['acts_PJ'][:, j], mean_P, rtol=1e-5)
    if j > 1:
      assert np.isnan(found['purity_J'][j]) and np.isnan(found['pairs_J'][j])
    else:
      assert found['pairs_J'][j] == sum(m >= 0.1 * max(mean_P) for m in mean_P)
      (want,) = topics.purity(next_KM, np.array(mean_P)[:, None])
      assert found['purity_J'][j] == pytest.approx(want)


def test_the_control_keeps_how_rarely_a_unit_fires_and_not_for_what():
  c = settings.Topics(topics=10, words=10, noise=0.0)
  next_KM = topics.successors(c, seed=0)
  topic_P = np.arange(100) // 10
  # Every pair once: one pair, one topic of ten, all pairs alike.
  acts_NJ = np.stack([topic_P * 0 + (np.arange(100) == 5), topic_P == 3], 1)
  acts_NJ = np.column_stack([acts_NJ, np.ones(100)]).astype(np.float32)
  found = topics.measure(next_KM, np.arange(100), acts_NJ, np.ones(3), seed=1)
  np.testing.assert_allclose(found['purity_J'], [1, 1, 0.1], rtol=1e-6)
  one, topic, alike = found['shuffled_J']
  assert one == 1 and alike == pytest.approx(0.1)
  assert 0.15 < topic < 0.55
  assert found['pairs_J'].tolist() == [1, 10, 100]


def test_a_pair_that_the_sample_lacks_counts_as_0():
  next_KM = topics.successors(C, seed=0)
  found = topics.measure(
    next_KM, np.zeros(4, int), np.ones((4, 1), np.float32), np.ones(1), seed=0
  )
  assert found['acts_PJ'].ravel().tolist() == [1] + [0] * 14
  assert found['purity_J'] == found['active'] == 1 and found['silent'] == 0
