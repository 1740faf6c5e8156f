"""Planted directions, looked for by scikit-learn and by the autoencoder."""

import sys

import numpy as np
import pytest
from sklearn import decomposition

from monosem_jax import settings
from monosem_jax.analysis import planted
from monosem_jax.errors import UserError

SMALL = settings.Planted(
  width=16,
  directions=24,
  samples=2_048,
  features=32,
  active=1.5,
  l1=0.02,
)


def test_all_find_the_planted_directions_and_random_ones_do_not():
  table = planted.compare(SMALL, seed=0)
  assert [(row['name'], row['rows']) for row in table] == [
    ('sparse autoencoder', 128 * 2_048),
    ('DictionaryLearning', 5 * 2_048),
    ('MiniBatchDictionaryLearning', 2_048),
    ('random', 0),
  ]
  for row in table[:3]:
    assert row['recovered'] > 0.9, row
    assert row['found'] > 0.8, row
    assert row['seconds'] > 0
  assert table[3]['recovered'] < 0.7
  assert table[3]['found'] == 0
  assert [row['compiling'] > 0 for row in table] == [True, False, False, False]


class OneAtom:
  """Learns one direction, of norm 2, and a row of zeros."""

  def __init__(self, **_):
    pass

  def fit(self, x_NA):
    OneAtom.x_NA = x_NA
    atom_A = 2 * OneAtom.truth()[0]
    self.components_ = np.stack([atom_A, 0 * atom_A])
    return self

  @classmethod
  def truth(cls) -> np.ndarray:
    """The directions: where most samples that are not 0 point to."""
    norm_N1 = np.linalg.norm(cls.x_NA, axis=1, keepdims=True)
    unit_NA = (cls.x_NA / np.where(norm_N1, norm_N1, 1)).round(9)
    unit_NA = unit_NA[norm_N1[:, 0] > 0]
    rows, count = np.unique(unit_NA, axis=0, return_counts=True)
    return rows[np.argsort(-count)[:3]]


def test_the_scores_by_hand(monkeypatch):
  monkeypatch.setattr(decomposition, 'DictionaryLearning', OneAtom)
  monkeypatch.setattr(decomposition, 'MiniBatchDictionaryLearning', OneAtom)
  c = settings.Planted(
    width=4, directions=3, active=0.3, samples=512, batch_size=64, passes=1
  )
  row = planted.compare(c, seed=1)[1]
  truth_KA = OneAtom.truth()
  cosine_K = truth_KA @ truth_KA[0]
  # The row of zeros is at right angles to all.
  want = np.maximum(cosine_K, 0).mean()
  np.testing.assert_allclose(row['recovered'], want, atol=1e-6)
  np.testing.assert_allclose(row['found'], (cosine_K > 0.9).mean())
  np.testing.assert_allclose(row['atoms'], 0.5, atol=1e-6)


def test_without_scikit_learn(monkeypatch):
  monkeypatch.setitem(sys.modules, 'sklearn', None)
  with pytest.raises(UserError, match=r'scikit-learn: .*monosem_jax\[analysis'):
    planted.compare(SMALL, seed=0)
