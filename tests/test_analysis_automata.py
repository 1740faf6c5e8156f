"""Predicted edges of automata, by hand and against plain loops."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import automata
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments

DOT = Dot(jnp.dtype(jnp.float32))


def test_counts_are_those_of_a_loop():
  rng = np.random.default_rng(0)
  f_SNX = np.maximum(rng.normal(size=(3, 40, 5)), 0).astype(np.float32)
  token_SN = rng.integers(7, size=(3, 40)).astype(np.int32)
  f_SNX[..., 3] = 0  # never fires
  f_SNX[..., 4] = token_SN == 2  # on one token only
  step = automata.make_counts(lambda _, batch: batch, 7)
  tokens_V, fired_VX = moments.collect(
    step, None, zip(f_SNX, token_SN, strict=True)
  )
  for v in range(7):
    here = token_SN == v
    assert tokens_V[v] == here.sum()
    for x in range(5):
      assert fired_VX[v, x] == (f_SNX[here][:, x] > 0).sum()


def test_edges_by_hand():
  # One standard deviation weighs 3: .45 on tokens 0 and 2, .05 on 1 and 3; the
  # second feature speaks of no token, the last one is dead.
  v_FV = 7 * jnp.array([[1, -1, 1, -1], [0, 0, 0, 0], [1, 1, -1, -1]], float)
  tokens_V = np.array([9, 4, 0, 19])
  fired_VX = np.array([[9, 9, 0], [0, 4, 0], [0, 0, 0], [7, 19, 0]])
  found = automata.predict(
    lambda rows_FA: rows_FA @ v_FV,
    jnp.eye(3),
    DOT,
    np.array([True, True, False]),
    [(tokens_V, fired_VX)],
    temperature=1 / math.log(3),
  )
  # P(0 fires | t) = (9 + .5) / 10, .5 / 5, .5 / 1, (7 + .5) / 20, its base .5.
  # All fire on no less than all tokens for feature 1; never for feature 2.
  np.testing.assert_array_equal(found.source_M, [0])
  np.testing.assert_array_equal(found.target_M, [0])
  np.testing.assert_allclose(found.gain_M, [0.17625], rtol=1e-5)
  np.testing.assert_allclose(found.lift_M, [1.3525], rtol=1e-5)


def random_counts() -> tuple[np.ndarray, np.ndarray]:
  rng = np.random.default_rng(1)
  tokens_V = rng.integers(0, 30, size=19)
  fired_VX = rng.binomial(tokens_V[:, None], rng.random((19, 11)) ** 3)
  fired_VX[:, 2] = 0  # never fires
  fired_VX[np.arange(19) != 5, 3] = 0  # on one token only
  return tokens_V, fired_VX


@pytest.mark.parametrize(('rows', 'width'), [(256, 11), (3, 4), (1, 1)])
def test_edges_by_blocks_are_those_of_the_formula(rows, width):
  rng = np.random.default_rng(2)
  W_FA, W_AV = rng.normal(size=(11, 6)), rng.normal(size=(6, 19))
  tokens_V, fired_VX = random_counts()
  live_F = np.arange(11) % 5 != 4
  found = automata.predict(
    lambda rows_FA: rows_FA @ jnp.asarray(W_AV, jnp.float32),
    jnp.asarray(W_FA, jnp.float32),
    DOT,
    live_F,
    [(tokens_V, fired_VX[:, x : x + width]) for x in range(0, 11, width)],
    kept=3,
    temperature=0.7,
    block=rows,
  )
  want = {}
  for i in np.flatnonzero(live_F):
    v_V = W_FA[i] @ W_AV
    p_V = np.exp(v_V / v_V.std() / 0.7)
    p_V /= p_V.sum()
    gains = {}
    for j in np.flatnonzero(live_F):
      base = fired_VX[:, j].sum() / tokens_V.sum()
      share_V = (fired_VX[:, j] + base) / (tokens_V + 1)
      if base > 0 and p_V @ share_V > base:
        gains[j] = p_V @ share_V - base, p_V @ share_V / base
    for j in sorted(gains, key=gains.get)[-3:]:
      want[i, j] = gains[j]
  got = zip(found.gain_M, found.lift_M, strict=True)
  pairs = zip(found.source_M, found.target_M, strict=True)
  got = dict(zip(pairs, got, strict=True))
  assert len(want) > 15 and got.keys() == want.keys()
  for pair, numbers in want.items():
    np.testing.assert_allclose(got[pair], numbers, rtol=1e-4)
  assert np.all(np.diff(found.source_M) >= 0)


def test_without_live_features_there_are_no_edges():
  tokens_V, fired_VX = random_counts()
  for live_F, fired in (
    (np.zeros(11, bool), fired_VX),
    (np.ones(11, bool), 0 * fired_VX),
  ):
    found = automata.predict(
      lambda rows_FA: jnp.tile(rows_FA[:, :1], (1, 19)),
      jnp.ones((11, 2)),
      DOT,
      live_F,
      [(tokens_V, fired)],
    )
    assert all(len(x) == 0 for x in found.columns().values())
