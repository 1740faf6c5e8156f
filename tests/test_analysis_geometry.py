"""Geometry of directions whose clusters are known."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import adjusted_rand_score

from monosem_jax.analysis import geometry
from monosem_jax.errors import UserError

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
  found = geometry.clumping(clumped())
  assert found['nearest'] > found['nearest_random'] + 0.2
  random = np.random.default_rng(9).normal(size=(200, A))
  even = geometry.clumping(random)
  assert abs(even['nearest'] - even['nearest_random']) < 0.03


def test_agreement_is_spearmans_over_pairs():
  rows_FA = clumped()
  cosine_FF = cosines(rows_FA)
  assert geometry.agreement(rows_FA, cosine_FF**3) > 0.999
  noise = np.random.default_rng(1).normal(size=cosine_FF.shape)
  mixed_FF = cosine_FF + noise + noise.T
  off = ~np.eye(len(rows_FA), dtype=bool)
  want = scipy.stats.spearmanr(cosine_FF[off], mixed_FF[off]).statistic
  got = geometry.agreement(rows_FA, mixed_FF)
  assert got == pytest.approx(want, abs=0.02)
  assert 0.1 < want < 0.9
  assert geometry.agreement(rows_FA, np.ones_like(cosine_FF)) is None


def test_too_few_features_are_said():
  with pytest.raises(UserError, match='too few'):
    geometry.layout(np.eye(3))
