"""The random sample of activations: against NumPy, and against chance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.features import sampling

N, F, ROOM = 96, 24, 1_024
MESHES = [None, (8, 1), (4, 2), (1, 8)]


@functools.cache
def features(rows: int = N) -> np.ndarray:
  rng = np.random.default_rng(0)
  return np.maximum(rng.normal(size=(rows, F)), 0).astype(np.float32)


def drawn(f_NF, keep_F, shape=None, room=ROOM, seed=0):
  """(row, feature, value, priority) of each, in order; and how many of all."""
  draw = jax.jit(
    lambda f_NF, keep_F: sampling.draw(f_NF, keep_F, jax.random.key(seed), room)
  )
  if shape is None:
    found = draw(f_NF, keep_F)
  else:
    with jax.set_mesh(meshes.make_mesh(settings.Mesh(*shape))):
      found = draw(f_NF, keep_F)
  found = jax.device_get(found)
  there_XM = np.arange(room) < found.count_X[:, None]
  columns = (
    x[there_XM].tolist()
    for x in (
      *(found.row_XM, found.feature_XM),
      *(found.value_XM, found.priority_XM),
    )
  )
  return sorted(zip(*columns, strict=True)), found.count_X.sum()


def murmur(x: int) -> int:
  """MurmurHash3's finalizer, on Python's whole numbers."""
  x ^= x >> 16
  x = x * 0x85EBCA6B % 2**32
  x ^= x >> 13
  x = x * 0xC2B2AE35 % 2**32
  return x ^ x >> 16


@pytest.mark.parametrize('shape', MESHES)
def test_what_is_drawn_is_what_numpy_draws(shape):
  f_NF = features()
  keep_F = np.linspace(0, 1, F, dtype=np.float32)
  row_key, feature_key = jax.random.split(jax.random.key(0))
  bits_N = np.asarray(jax.random.bits(row_key, (N,)))
  bits_F = np.asarray(jax.random.bits(feature_key, (F,)))
  want = []
  for n, i in zip(*np.nonzero(f_NF), strict=True):
    # The upper 24 of 32 bits.
    own = murmur(int(bits_N[n]) ^ int(bits_F[i])) >> 8
    if own / 2**24 < keep_F[i]:
      want.append((n, i, f_NF[n, i], own))
  found, count = drawn(f_NF, keep_F, shape)
  assert found == want
  assert count == len(want) > 400


@pytest.mark.parametrize('shape', [(4, 2), (8, 1)])
def test_rows_that_cannot_be_spread_are_drawn_once(shape):
  f_NF = features(45)
  keep_F = np.full(F, 0.5, np.float32)
  assert drawn(f_NF, keep_F, shape) == drawn(f_NF, keep_F)


def test_probability_1_draws_everything_and_0_nothing():
  f_NF = features()
  found, count = drawn(f_NF, np.ones(F, np.float32), room=N * F)
  assert [x[:2] for x in found] == list(zip(*np.nonzero(f_NF), strict=True))
  assert count == (f_NF > 0).sum()
  assert drawn(f_NF, np.zeros(F, np.float32)) == ([], 0)


@pytest.mark.parametrize('room', [1, 7, 64, 300])
def test_what_finds_no_room_is_counted(room):
  everything, count = drawn(features(), np.ones(F, np.float32), room=N * F)
  draw = sampling.draw(
    jnp.asarray(features()), jnp.ones(F), jax.random.key(0), room
  )
  kept = set(
    zip(draw.row_XM[0].tolist(), draw.feature_XM[0].tolist(), strict=True)
  )
  # All of it is true and there is none twice.
  assert kept <= {x[:2] for x in everything} and len(kept) == room
  assert room < draw.count_X[0] <= count


def test_a_sample_is_as_large_as_its_probability_and_features_do_not_agree():
  rows, keep, draws = 4_096, 0.3, 16
  f_NF = np.ones((rows, F), np.float32)
  keep_F = np.full(F, keep, np.float32)
  chosen = np.zeros((draws, rows, F))
  for seed in range(draws):
    found, _ = drawn(f_NF, keep_F, room=rows * F, seed=seed)
    n, i = np.transpose([x[:2] for x in found])
    chosen[seed, n, i] = 1
  by_feature = chosen.sum((0, 1))
  deviation = (draws * rows * keep * (1 - keep)) ** 0.5
  assert np.abs(by_feature - draws * rows * keep).max() < 4 * deviation
  # Of two features, or of two rows, no one foretells the other.
  for x in (
    chosen.reshape(-1, F),
    chosen.transpose(1, 0, 2)[:32].reshape(32, -1).T,
  ):
    r = np.corrcoef(x.T)
    off = r[~np.eye(len(r), dtype=bool)]
    assert np.abs(off).max() < 4.5 / len(x) ** 0.5
