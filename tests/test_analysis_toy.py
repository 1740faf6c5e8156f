"""The toy models against closed forms and against SciPy's optima."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from scipy import optimize

from monosem_jax.analysis import toy
from monosem_jax.config import settings

# A neuron for 4 features, and for 16 features 4 neurons, as by default.
ONE = settings.Penalty(features=4, neurons=1, penalties=(0.05, 0.3), starts=8)
FOUR = dataclasses.replace(
  settings.Penalty(),
  penalties=(0.0, 0.03, 0.1, 0.5, 1.0),
  starts=4,
  steps=2_000,
)


@functools.cache
def penalised(c: settings.Penalty):
  return toy.penalise(c, seed=0)


@functools.cache
def neuron(features: int):
  c = settings.BinaryNeuron(features=features, starts=32)
  return toy.binary_neuron(c, seed=0)


def directions(count: int) -> np.ndarray:
  angle = 2 * np.pi * np.arange(count) / count
  return np.stack([np.cos(angle), np.sin(angle)])


def test_dimensionality_of_known_figures():
  tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).T
  for W_DF, want in (
    (np.eye(3), 1),
    (np.array([[1.0, -1.0]]), 1 / 2),
    (directions(3), 2 / 3),
    (0.7 * directions(5), 2 / 5),
    (tetrahedron, 3 / 4),
  ):
    np.testing.assert_allclose(toy.dimensionality(W_DF), want, atol=1e-12)
  # The weaker one of two that share a direction has the lesser share of it.
  np.testing.assert_allclose(
    toy.dimensionality(np.array([[2.0, 1.0, 0.0]])), [0.8, 0.2, 0]
  )


def test_dense_features_are_not_superposed_and_sparse_ones_are():
  c = settings.Superposition(
    features=10,
    dimensions=3,
    importance=0.7,
    sparsities=(0.0, 0.97),
    steps=2_000,
    batch_size=256,
  )
  found = toy.superpose(c, seed=0)
  assert found['W_ZDF'].shape == (2, 3, 10)
  assert found['represented_Z'][0] == 3
  assert found['represented_Z'][1] >= 6
  # The 3 most important ones, each in a direction of its own; of the others
  # the mean is all that is kept.
  dense_FF = found['W_ZDF'][0].T @ found['W_ZDF'][0]
  np.testing.assert_allclose(dense_FF, np.diag([1] * 3 + [0] * 7), atol=0.03)
  np.testing.assert_allclose(found['b_ZF'][0], [0] * 3 + [0.5] * 7, atol=0.03)
  for W_DF, share_F, per_feature in zip(
    found['W_ZDF'],
    found['dimensionality_ZF'],
    found['dimensions_per_feature_Z'],
    strict=True,
  ):
    np.testing.assert_allclose(toy.dimensionality(W_DF), share_F)
    np.testing.assert_allclose(
      per_feature, 3 / np.square(W_DF).sum(), rtol=1e-5
    )
    assert share_F.sum() < 3.01


def test_five_sparse_features_make_a_pentagon():
  c = settings.Superposition(
    features=5,
    dimensions=2,
    importance=1.0,
    sparsities=(0.9,),
    steps=1_000,
  )
  found = toy.superpose(c, seed=0)
  np.testing.assert_allclose(found['dimensionality_ZF'][0], 2 / 5, atol=0.03)
  x, y = found['W_ZDF'][0]
  angle = np.sort(np.degrees(np.arctan2(y, x)))
  np.testing.assert_allclose(np.diff(angle), 72, atol=5)


def test_the_papers_two_losses():
  assert toy.entropy_left(1, 4) == pytest.approx(3 / 4 * np.log(3))
  assert toy.entropy_left(2, 4) == pytest.approx(np.log(2))
  assert toy.entropy_left(0, 4) == toy.entropy_left(4, 4) == np.log(4)


@pytest.mark.parametrize('n', [4, 6])
def test_descent_comes_to_the_closed_form_of_every_neuron(n):
  found = neuron(n)
  for fires_F in itertools.product((0, 1), repeat=n):
    # Entropy of the feature once the neuron is known, from the joint table.
    joint_2F = np.array([1 - np.array(fires_F), fires_F]) / n
    given_2F = joint_2F / np.maximum(joint_2F.sum(1, keepdims=True), 1e-9)
    want = -(joint_2F * np.log(np.where(given_2F > 0, given_2F, 1))).sum()
    k = sum(fires_F)
    np.testing.assert_allclose(found['closed_form'][k], want)
    np.testing.assert_allclose(found['optimised'][k], want, atol=1e-3)
  assert (found['optimised'] > found['closed_form'] - 1e-5).all()
  half = found['optimised'][n // 2]
  assert half < found['optimised'][1] - 0.1
  assert half == found['optimised'].min()


def test_scipy_finds_the_same_losses():
  for k in (1, 2):
    side = (np.arange(4) < k).astype(int)

    def loss(logits, side=side):
      rows = logits.reshape(2, 4)[side]
      return (np.log(np.exp(rows).sum(1)) - rows.diagonal()).mean()

    least = optimize.minimize(loss, np.zeros(8), method='BFGS').fun
    np.testing.assert_allclose(neuron(4)['optimised'][k], least, atol=1e-3)


def test_a_learned_neuron_is_shared_by_half_of_the_features_at_best():
  found = neuron(4)
  fires_for_Z, loss_Z = found['fires_for_Z'], found['loss_Z']
  want_Z = [toy.entropy_left(k, 4) for k in fires_for_Z]
  np.testing.assert_allclose(loss_Z, want_Z, atol=2e-3)
  assert fires_for_Z[loss_Z.argmin()] == 2
  # It is the rule, and one feature alone a local minimum.
  assert (fires_for_Z == 2).mean() > 0.5
  assert set(fires_for_Z) == {1, 2, 3}


def test_a_penalty_makes_activations_sparse_and_leaves_neurons_shared():
  f, penalty_Z, F, J = penalised(FOUR), FOUR.penalties, 16, 4
  np.testing.assert_allclose(f['loss_Z'][0], 0, atol=2e-3)
  assert (np.diff(f['loss_Z']) > 0).all()
  assert (np.diff(f['active_Z'][[0, 2, 3, 4]]) < 0).all()
  # About one neuron fires for a feature, and for many features each of them.
  assert f['active_Z'][2] < 1.3
  np.testing.assert_array_equal(f['shared_Z'][:3], 1)
  assert (f['features_per_neuron_Z'][:3] > 3).all()
  # Neurons of one feature cost more under the very same penalty.
  lead_Z = f['monosemantic_objective_Z'] - f['objective_Z']
  assert (lead_Z[:3] > 0.3).all()
  np.testing.assert_allclose(
    f['monosemantic_loss_Z'][0], (F - J) / F * np.log(F - J), atol=2e-3
  )
  np.testing.assert_allclose(
    f['objective_Z'],
    f['loss_Z'] + penalty_Z * f['activations_ZFJ'].sum(2).mean(1),
    rtol=1e-5,
  )


def test_neurons_of_one_feature_come_with_features_of_no_neuron():
  f = penalised(FOUR)
  assert f['live_Z'][3] == 4
  assert f['shared_Z'][3] == 0
  assert f['silent_Z'][3] == 12
  for name in ('objective', 'loss'):
    np.testing.assert_allclose(
      f[f'{name}_Z'][3], f[f'monosemantic_{name}_Z'][3], rtol=0.01
    )


def test_the_greatest_penalty_silences_all():
  f = penalised(FOUR)
  np.testing.assert_allclose(f['loss_Z'][4], np.log(16), rtol=1e-5)
  np.testing.assert_allclose(f['monosemantic_loss_Z'][4], np.log(16), rtol=1e-5)
  assert f['live_Z'][4] == f['active_Z'][4] == f['shared_Z'][4] == 0
  assert f['silent_Z'][4] == 16
  assert f['features_per_neuron_Z'][4] == 0


def test_what_fires_is_counted_from_the_activations():
  f = penalised(FOUR)
  for z, effect_FJ in enumerate(f['activations_ZFJ']):
    firing = {
      (i, j)
      for i in range(16)
      for j in range(4)
      if effect_FJ[:, j].max() > 0.01
      and effect_FJ[i, j] > 0.1 * effect_FJ[:, j].max()
    }
    of_neuron = [sum(j == own for _, j in firing) for own in range(4)]
    live = sum(n > 0 for n in of_neuron)
    assert f['live_Z'][z] == live
    assert f['active_Z'][z] == len(firing) / 16
    assert f['silent_Z'][z] == 16 - len({i for i, _ in firing})
    if live:
      assert f['features_per_neuron_Z'][z] == len(firing) / live
      assert f['shared_Z'][z] == sum(n > 1 for n in of_neuron) / live


@pytest.mark.parametrize('z', [0, 1])
@pytest.mark.parametrize('held', [False, True])
def test_scipy_finds_no_better_neuron(z, held):
  """One neuron and 4 features; activations, output row and biases are free."""
  penalty, rng = ONE.penalties[z], np.random.default_rng(0)
  allowed = np.array([1, 0, 0, 0]) if held else np.ones(4)

  def objective(p):
    h, w, b = allowed * p[:4], p[4:8], p[8:]
    logits = np.outer(h, w) + b
    loss = np.log(np.exp(logits).sum(1)) - logits.diagonal()
    return loss.mean() + penalty * h.mean() * np.linalg.norm(w)

  bounds = [(0, None)] * 4 + [(-20, 20)] * 8
  least = min(
    optimize.minimize(
      objective, rng.uniform(0, 2, 12), method='L-BFGS-B', bounds=bounds
    ).fun
    for _ in range(8)
  )
  name = 'monosemantic_objective_Z' if held else 'objective_Z'
  np.testing.assert_allclose(penalised(ONE)[name][z], least, atol=0.01)
