"""What follows on what in text, against plain loops and a planted order."""

import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import following
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments

DOT = Dot(jnp.dtype(jnp.float32))
SEPARATOR, GROUPS = 0, 3


def test_counts_are_those_of_a_loop():
  rng = np.random.default_rng(0)
  S, B, T, X = 3, 4, 9, 5
  tokens_SBT = rng.integers(4, size=(S, B, T)).astype(np.int32)
  group_SBT = rng.integers(GROUPS, size=(S, B, T)).astype(np.int32)
  f_SBTX = np.maximum(rng.normal(size=(S, B, T, X)), 0).astype(np.float32)
  source_M, target_M = np.array([0, 1, 2, 2, 4]), np.array([1, 0, 2, 3, 4])
  step = following.make_step(
    lambda f_NX, _: f_NX,
    SEPARATOR,
    GROUPS,
    source_M,
    target_M,
    DOT,
  )
  got = None
  for s in range(S):
    got = step(got, f_SBTX[s].reshape(-1, X), (tokens_SBT[s], group_SBT[s]))
  pairs_G, first_GX = np.zeros(GROUPS), np.zeros((GROUPS, X))
  then_GX, both_GM = np.zeros((GROUPS, X)), np.zeros((GROUPS, 5))
  for s, b, t in np.ndindex(S, B, T - 1):
    if tokens_SBT[s, b, t + 1] == SEPARATOR:
      continue
    # A pair is of the document of its second token.
    g = group_SBT[s, b, t + 1]
    first_X, then_X = f_SBTX[s, b, t] > 0, f_SBTX[s, b, t + 1] > 0
    pairs_G[g] += 1
    first_GX[g] += first_X
    then_GX[g] += then_X
    for m, (i, j) in enumerate(zip(source_M, target_M, strict=True)):
      both_GM[g, m] += first_X[i] and then_X[j]
  np.testing.assert_array_equal(got.pairs_G, pairs_G)
  np.testing.assert_array_equal(got.first_GX, first_GX)
  np.testing.assert_array_equal(got.then_GX, then_GX)
  np.testing.assert_array_equal(got.both_GM, both_GM)


def chain(seed: int, follows: np.ndarray, groups: int, length: int):
  """States of Markov chains, state_GL, by their transitions."""
  rng = np.random.default_rng(seed)
  state_G = rng.integers(len(follows), size=groups)
  found = []
  for _ in range(length):
    found.append(state_G)
    draw_G1 = rng.random((groups, 1))
    state_G = (draw_G1 > follows[state_G].cumsum(1)).sum(1)
  return np.stack(found, 1)


def counted(state_GL: np.ndarray, states: int):
  """`Followed` of a feature for each state, each group one document."""
  fires_GLX = state_GL[..., None] == np.arange(states)
  pair_M2 = np.stack(np.mgrid[:states, :states], -1).reshape(-1, 2)
  step = following.make_step(
    lambda f_NX, _: f_NX, 99, len(state_GL), *pair_M2.T, DOT
  )
  batch = (
    state_GL.astype(np.int32),
    np.arange(len(state_GL), dtype=np.int32)[:, None] + 0 * state_GL,
  )
  found = moments.collect(
    step, jnp.float32(fires_GLX.reshape(-1, states)), [batch]
  )
  both_GII = found.both_GM.reshape(-1, states, states)
  more_GM = following.above_base(
    found.pairs_G,
    found.first_GX[:, pair_M2[:, 0]],
    found.then_GX[:, pair_M2[:, 1]],
    found.both_GM,
  )
  return both_GII, following.surprise(more_GM).reshape(states, states)


RING = np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]])
# Each leads to each, alike.
CLIQUE = np.full((3, 3), 1 / 3)


def test_transitions_of_a_ring_rise_and_have_an_order():
  both_GII, p_II = counted(chain(0, RING, 40, 60), 3)
  ahead = [(0, 1), (1, 2), (2, 0)]
  assert all(p_II[edge] < 0.01 for edge in ahead)
  assert all(p_II[j, i] > 0.5 for i, j in ahead)
  back_GII = both_GII.swapaxes(1, 2)
  p_order = following.surprise((both_GII - back_GII).reshape(40, -1))
  p_order = p_order.reshape(3, 3)
  assert all(p_order[edge] < 0.01 for edge in ahead)
  assert all(p_order[j, i] == 1 for i, j in ahead)


def test_a_clique_has_neither():
  both_GII, p_II = counted(chain(1, CLIQUE, 40, 60), 3)
  assert p_II.min() > 0.02
  back_GII = both_GII.swapaxes(1, 2)
  p_order = following.surprise((both_GII - back_GII).reshape(40, -1))
  assert p_order.min() > 0.02


@pytest.mark.parametrize('groups', [4, 64])
@pytest.mark.parametrize('scale', [1, 30])
def test_the_bound_holds_where_there_is_nothing(groups, scale):
  rng = np.random.default_rng(groups)
  size_GM = 1 + rng.pareto(1, (groups, 20_000)) * scale
  x_GM = size_GM * rng.choice([-1, 1], (groups, 20_000))
  p_M = following.surprise(x_GM)
  for level in (0.3, 0.1, 0.03, 0.01):
    assert (p_M <= level).mean() <= 1.1 * level
  # One group says nothing, many do.
  alone = np.eye(64)[:, :1] * 1e6
  assert following.surprise(alone)[0] > 0.5
  assert following.surprise(np.ones((64, 1)))[0] < 1e-13
  assert following.surprise(np.zeros((64, 1)))[0] == 1
  assert following.surprise(-np.ones((64, 1)))[0] == 1


@pytest.mark.parametrize('closes', [True, False])
@pytest.mark.parametrize('n', [1, 2, 4])
def test_runs_are_those_of_a_loop(closes, n):
  rng = np.random.default_rng(n)
  fires_BTn = rng.random((5, 40, n)) < 0.7
  got = np.asarray(following.in_turn(fires_BTn, closes))
  assert got.max() >= (5 if closes else n)
  for b, t, k in np.ndindex(5, 40, n):
    length, node, at = 0, k, t
    while at >= 0 and fires_BTn[b, at, node]:
      length += 1
      if node == 0 and not closes:
        break
      node, at = (node - 1) % n, at - 1
    assert got[b, t, k] == length
