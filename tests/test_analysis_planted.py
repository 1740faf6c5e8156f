"""Planted directions, looked for by scikit-learn and by the autoencoder."""

import sys

import numpy as np
import pytest
from sklearn import decomposition

from monosem_jax.analysis import planted
from monosem_jax.config import settings
from monosem_jax.config.errors import UserError

SMALL = settings.Planted(
  width=16,
  directions=24,
  samples=2_048,
  features=32,
  active=1.5,
  l1=0.02,
  held_out=512,
  search=(0.1, 1.0),
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
  for row, penalty in zip(table, (0.02, 0.2, 0.2), strict=False):
    assert [x['penalty'] for x in row['tried']] == [0.1 * penalty, penalty]
    # The one that held-out samples prefer, not the truth.
    best = max(row['tried'], key=lambda x: x['explained'])
    for key in ('penalty', 'explained', 'found', 'recovered', 'seconds'):
      assert row[key] == best[key]
    assert row['searching'] == sum(x['seconds'] for x in row['tried'])
    assert row['explained'] > table[3]['explained'] + 0.1
  assert table[0]['parameters'] == 2 * 16 * 32 + 32 + 16
  assert table[1]['parameters'] == 16 * 32
  assert table[3]['penalty'] is None


def test_what_atoms_explain_in_closed_form():
  """Of a basis, the squares of the greatest products."""
  rng = np.random.default_rng(0)
  basis_AA = np.linalg.qr(rng.normal(size=(6, 6)))[0]
  x_NA = np.abs(rng.normal(size=(50, 6))) @ basis_AA
  square_NA = np.sort(np.square(x_NA @ basis_AA.T), axis=1)[:, ::-1]
  for atoms in (1, 2, 4):
    want = square_NA[:, :atoms].sum() / square_NA.sum()
    # Their norm does not count.
    got = planted.explained(3 * basis_AA, x_NA, atoms)
    assert got == pytest.approx(want)
  # Atoms that are no basis are fitted together.
  atoms_FA = rng.normal(size=(2, 6))
  x_NA = rng.uniform(0.5, 1, (50, 2)) @ atoms_FA
  assert planted.explained(atoms_FA, x_NA, 2) == pytest.approx(1)
  # A row of zeros, and one that is there twice, explain nothing more.
  some_FA = np.stack([atoms_FA[0], atoms_FA[0], 0 * atoms_FA[0]])
  one = planted.explained(some_FA[:1], x_NA, 1)
  assert planted.explained(some_FA, x_NA, 2) == pytest.approx(one, abs=1e-6)


def test_scikit_learn_pursues_the_same():
  rng = np.random.default_rng(1)
  atoms_FA = rng.normal(size=(12, 8))
  atoms_FA /= np.linalg.norm(atoms_FA, axis=1, keepdims=True)
  # Both signs of every atom, so that its pursuit of either finds ours.
  both_FA = np.concatenate([atoms_FA, -atoms_FA])
  x_NA = rng.normal(size=(40, 8))
  code_NF = decomposition.sparse_encode(
    x_NA, atoms_FA, algorithm='omp', n_nonzero_coefs=3
  )
  left = np.square(x_NA - code_NF @ atoms_FA).sum() / np.square(x_NA).sum()
  assert planted.explained(both_FA, x_NA, 3) == pytest.approx(1 - left)


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
    **{'width': 4, 'directions': 3, 'active': 0.3, 'samples': 512},
    **{'batch_size': 64, 'passes': 1, 'search': (1.0,)},
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
