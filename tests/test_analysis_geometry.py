"""Geometry of directions whose clusters are known."""

import numpy as np
import pytest
import scipy.stats
import sklearn.manifold
from sklearn.metrics import adjusted_rand_score

from monosem_jax.analysis import agreement, geometry
from monosem_jax.config.errors import UserError

A, GROUPS, MEMBERS = 24, 8, 12
TRUE_F = np.repeat(np.arange(GROUPS), MEMBERS)


def clumped() -> np.ndarray:
  """Directions that lie in groups, in any order and of any length."""
  rng = np.random.default_rng(0)
  centre_CA = rng.normal(size=(GROUPS, A))
  rows_FA = centre_CA[TRUE_F] + 0.25 * rng.normal(size=(TRUE_F.size, A))
  return rows_FA * rng.uniform(0.5, 3, (TRUE_F.size, 1))


def cosines(rows_FA) -> np.ndarray:
  unit_FA = rows_FA / np.linalg.norm(rows_FA, axis=1, keepdims=True)
  return unit_FA @ unit_FA.T


@pytest.mark.parametrize('block', [7, 96, 1_000])
def test_neighbours_are_the_nearest_by_cosine_and_itself_first(block):
  rows_FA = clumped()
  rows_FA[5] = 2 * rows_FA[40]  # twins
  index_Fk, distance_Fk = geometry.neighbours(rows_FA, 6, block=block)
  np.testing.assert_array_equal(index_Fk[:, 0], np.arange(len(rows_FA)))
  np.testing.assert_array_equal(distance_Fk[:, 0], 0)
  cosine_FF = cosines(rows_FA)
  assert index_Fk[5, 1] == 40 and index_Fk[40, 1] == 5
  for i, found in enumerate(index_Fk):
    others = np.delete(cosine_FF[i], i)
    want = 1 - np.sort(others)[::-1][:5]
    np.testing.assert_allclose(distance_Fk[i, 1:], want, atol=1e-5)
    np.testing.assert_allclose(1 - cosine_FF[i, found[1:]], want, atol=1e-5)


def test_clusters_and_layout_show_the_groups():
  rows_FA = clumped()
  found = geometry.clusters(rows_FA)
  inside = found.cluster_F >= 0
  assert inside.mean() > 0.8
  score = adjusted_rand_score(TRUE_F[inside], found.cluster_F[inside])
  assert score > 0.8
  # Every feature is listed once, clusters in one piece.
  np.testing.assert_array_equal(np.sort(found.order_F), np.arange(TRUE_F.size))
  for i in range(len(found.medoid_C)):
    at = np.flatnonzero(found.cluster_F[found.order_F] == i)
    assert at[-1] - at[0] == at.size - 1
    # The medoid is nearest to all of its cluster, by all pairs.
    members = np.flatnonzero(found.cluster_F == i)
    own = cosines(rows_FA)[np.ix_(members, members)].sum(1)
    assert found.medoid_C[i] == members[own.argmax()]
  # In the plane, the nearest is of the same group.
  position_FD = geometry.layout(rows_FA)
  assert position_FD.shape == (TRUE_F.size, 2)
  far_FF = np.linalg.norm(position_FD[:, None] - position_FD, axis=-1)
  np.fill_diagonal(far_FF, np.inf)
  assert (TRUE_F[far_FF.argmin(1)] == TRUE_F).mean() > 0.9


def test_clumps_are_nearer_than_random_directions():
  near_F, random_F = geometry.clumping(clumped())
  cosine_FF = cosines(clumped()) - 2 * np.eye(TRUE_F.size)
  np.testing.assert_allclose(near_F, cosine_FF.max(1), atol=1e-5)
  assert near_F.mean() > random_F.mean() + 0.2
  random = np.random.default_rng(9).normal(size=(200, A))
  even_F, random_F = geometry.clumping(random)
  assert abs(even_F.mean() - random_F.mean()) < 0.03


def test_random_rows_are_unit_and_isotropic():
  rows_FA = geometry.random_rows(4_000, A, 3)
  np.testing.assert_allclose(np.linalg.norm(rows_FA, axis=1), 1, atol=1e-5)
  np.testing.assert_allclose(
    rows_FA.T @ rows_FA / 4_000, np.eye(A) / A, atol=0.005
  )
  assert (rows_FA != geometry.random_rows(4_000, A, 4)).all()


def test_agreement_is_spearmans_over_pairs():
  rows_FA = clumped()
  cosine_FF = cosines(rows_FA)
  r, (low, high) = agreement.rank_correlation(rows_FA, cosine_FF**3)
  assert r > 0.999 and low > 0.99
  noise = np.random.default_rng(1).normal(size=cosine_FF.shape)
  mixed_FF = cosine_FF + noise + noise.T
  off = ~np.eye(len(rows_FA), dtype=bool)
  want = scipy.stats.spearmanr(cosine_FF[off], mixed_FF[off]).statistic
  got, (low, high) = agreement.rank_correlation(rows_FA, mixed_FF)
  assert got == pytest.approx(want, abs=1e-6)
  assert 0.1 < want < 0.9
  # Fewer pairs than there are: random ones.
  fewer = agreement.rank_correlation(rows_FA, mixed_FF, pairs=3_000)[0]
  assert fewer != got and fewer == pytest.approx(want, abs=0.05)
  assert low < want < high
  ones_FF = np.ones_like(cosine_FF)
  assert agreement.rank_correlation(rows_FA, ones_FF) is None
  # Rows that know nothing of it.
  random_FA = geometry.random_rows(*rows_FA.shape, 5)
  r, (low, high) = agreement.rank_correlation(random_FA, mixed_FF)
  assert abs(r) < 0.06 and low < 0 < high


def test_the_interval_is_as_wide_as_other_features_would_say():
  """Of many sets of features, the spread of their correlations."""
  rng = np.random.default_rng(8)
  found, widths = [], []
  for seed in range(40):
    # Each feature has its own bias: pairs of it are not independent.
    rows_FA = rng.normal(size=(40, 6)) + rng.normal(size=(40, 1))
    bias_F = rng.normal(size=40)
    similarity_FF = cosines(rows_FA) + 0.5 * (bias_F[:, None] + bias_F)
    r, (low, high) = agreement.rank_correlation(
      rows_FA, similarity_FF, pairs=5_000, seed=seed
    )
    found.append(r)
    widths.append((high - low) / (2 * 1.96))
  assert 0.6 < np.mean(widths) / np.std(found) < 1.7


@pytest.mark.parametrize('k', [1, 5, 14])
def test_overlap_is_the_share_of_neighbours_found_both_ways(k):
  rng = np.random.default_rng(4)
  rows_FA = clumped()
  similarity_FF = cosines(rows_FA) + 0.3 * rng.normal(size=(TRUE_F.size,) * 2)
  index_Fk = geometry.neighbours(rows_FA, k + 1)[0][:, 1:]
  got_F = agreement.overlap(index_Fk, similarity_FF)
  for i, found in enumerate(got_F):
    order = np.argsort(-similarity_FF[i])
    most = set(order[order != i][:k].tolist())
    assert found == len(most & set(index_Fk[i].tolist())) / k
  assert 0.05 < got_F.mean() < 1
  # By chance.
  F = 600
  index_Fk = geometry.neighbours(geometry.random_rows(F, A, 1), k + 1)[0][:, 1:]
  chance = agreement.overlap(index_Fk, rng.normal(size=(F, F))).mean()
  assert chance == pytest.approx(k / (F - 1), abs=0.01)


@pytest.mark.parametrize('k', [3, 15])
def test_trustworthiness_is_that_of_scikit_learn(k):
  rng = np.random.default_rng(6)
  rows_FA = rng.normal(size=(700, 5))  # more than a block
  unit_FA = rows_FA / np.linalg.norm(rows_FA, axis=1, keepdims=True)
  for position_F2 in (unit_FA[:, :2], rng.normal(size=(700, 2))):
    got = agreement.trustworthiness(rows_FA, position_F2, k).mean()
    want = sklearn.manifold.trustworthiness(
      rows_FA, position_F2, n_neighbors=k, metric='cosine'
    )
    assert got == pytest.approx(want, abs=1e-4)
  assert got == pytest.approx(0.5, abs=0.03)
  # The rows themselves: nothing is moved.
  assert agreement.trustworthiness(rows_FA, unit_FA, k).mean() > 0.999


def test_too_few_features_are_said():
  with pytest.raises(UserError, match='too few'):
    geometry.layout(np.eye(3))
