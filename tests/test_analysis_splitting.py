"""The graph of splitting features, on one that is drawn by hand."""

import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import splitting
from monosem_jax.analysis.results.splitting import Beside
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments

# a0 splits into b0 and b1, a1 stays b2, a2 and a3 merge into b3; b4 is new, a4
# is alone, a5 is not live. b0 splits into c0, c1; b3 goes on to c1, too.
LIVE = {
  'a': np.array([1, 1, 1, 1, 1, 0], bool),
  'b': np.ones(5, bool),
  'c': np.ones(3, bool),
}
PAIRS = {
  ('a', 'b'): {(0, 0), (0, 1), (1, 2), (2, 3), (3, 3)},
  ('b', 'c'): {(0, 0), (0, 1), (3, 1)},
}


def similarity(level) -> np.ndarray:
  x, y = (LIVE[name].size for name in level)
  s_XY = np.random.default_rng(0).uniform(0, 0.4, (x, y))
  for i, j in PAIRS[level]:
    s_XY[i, j] = 0.5 + 0.1 * i
  if level == ('a', 'b'):
    s_XY[5, 4] = 0.9
  return s_XY.astype(np.float32)


def levels() -> dict:
  return {
    level: splitting.edges(similarity(level), LIVE[level[0]], LIVE[level[1]])
    for level in PAIRS
  }


def test_edges_are_the_live_pairs_above_the_threshold():
  for level, found in levels().items():
    got = set(
      zip(found.source_M.tolist(), found.target_M.tolist(), strict=True)
    )
    assert got == PAIRS[level]
    np.testing.assert_array_equal(
      found.similarity_M, similarity(level)[found.source_M, found.target_M]
    )
  strict = splitting.edges(
    similarity(('a', 'b')), LIVE['a'], LIVE['b'], threshold=0.65
  )
  np.testing.assert_array_equal(strict.source_M, [2, 3])


def test_descendants_are_followed_from_dictionary_to_dictionary():
  order = ['a', 'b', 'c']
  assert splitting.descendants(('a', 0), order, levels()) == {
    'a': [0],
    'b': [0, 1],
    'c': [0, 1],
  }
  assert splitting.descendants(('a', 2), order, levels()) == {
    'a': [2],
    'b': [3],
    'c': [1],
  }
  assert splitting.descendants(('b', 4), order, levels()) == {
    'b': [4],
    'c': [],
  }


def test_components_join_what_any_path_joins():
  found = splitting.components(levels(), LIVE)
  assert [set(nodes) for nodes in found[:2]] == [
    # Through c1, what a0 splits into meets what a2 and a3 merge into.
    {
      *(('a', i) for i in (0, 2, 3)),
      *(('b', i) for i in (0, 1, 3)),
      *(('c', i) for i in (0, 1)),
    },
    {('a', 1), ('b', 2)},
  ]
  assert sorted(n for nodes in found[2:] for n in nodes) == [
    ('a', 4),
    ('b', 4),
    ('c', 2),
  ]


def test_summary_counts_splits_and_merges():
  found = levels()['a', 'b']
  assert splitting.summary(found, LIVE['a'], LIVE['b']) == splitting.Summary(
    splits=1, one_to_one=1, merges=1, without=1, new=1
  )


def test_shares_are_those_of_plain_sums():
  rng = np.random.default_rng(2)
  N = 400
  f_NX = np.maximum(rng.normal(-0.5, 1, (N, 5)), 0)
  y_NY = np.maximum(rng.normal(-0.5, 1, (N, 7)) + f_NX[:, :1], 0)
  on_NL = rng.random((N, 2)) < 0.3
  f_NX[:, 3], y_NY[:, 6], on_NL[:, 1] = 0, 0, False
  f_NX, y_NY = f_NX.astype(np.float32), y_NY.astype(np.float32)

  def pair(_, batch):
    f, y, on = batch
    return splitting.masks(f, on), y

  dot = Dot(jnp.dtype(jnp.float32))
  step = moments.make_step(pair, dot, masked=True)
  halves = [(f_NX[a], y_NY[a], on_NL[a]) for a in (slice(150), slice(150, N))]
  found = splitting.shares(moments.collect(step, None, halves))
  masks = [*(f_NX > 0).T, *on_NL.T, np.ones(N, bool)]
  assert found.mass_MY.shape == (8, 7)
  for m, on in enumerate(masks):
    for j, y in enumerate(y_NY.T):
      got = [x[m, j] for x in (found.mass_MY, found.firing_MY, found.found_MY)]
      fires = y > 0
      want = [
        y[on].sum() / y.sum() if fires.any() else np.nan,
        (fires & on).sum() / fires.sum() if fires.any() else np.nan,
        (fires & on).sum() / on.sum() if on.any() else np.nan,
      ]
      np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_sieve_keeps_what_passes_all_filters_so_far():
  passes = {
    'one': np.array([1, 1, 1, 0, 0], bool),
    'two': np.array([0, 1, 1, 1, 0], bool),
    'three': np.array([1, 0, 1, 1, 1], bool),
  }
  left = splitting.sieve(passes)
  assert {k: np.flatnonzero(v).tolist() for k, v in left.items()} == {
    'reached': [0, 1, 2, 3, 4],
    'one': [0, 1, 2],
    'two': [1, 2],
    'three': [2],
  }


def test_null_starts_are_the_live_ones_nearest_in_log_density():
  density_F = np.array([1e-3, 1.7e-3, 5.2e-4, 9e-4, 1e-2, 0.0, 1e-3, 4e-4])
  live_F = np.array([1, 1, 1, 1, 1, 0, 0, 1], bool)
  # 1.7 times as dense is nearer than 1.9 times as rare; itself is none.
  assert splitting.matched(density_F, live_F, 0, 3).tolist() == [3, 1, 2]
  assert splitting.matched(density_F, live_F, 0, 2).tolist() == [3, 1]
  # Those of another density are none, however few there are.
  assert splitting.matched(density_F, live_F, 0, 9).tolist() == [3, 1, 2]
  assert splitting.matched(density_F, live_F, 4, 9).size == 0


def test_a_count_stands_beside_its_nulls():
  mean_of = lambda values, statistic: (statistic(values), len(values))
  assert splitting.beside(3, np.array([0, 1, 3, 5]), mean_of) == Beside(
    count=3, mean=2.25, interval=(2.25, 4), max=5, n=4, p=3 / 5
  )
  alone = splitting.beside(3, np.array([]), lambda *_: None)
  assert alone.mean is alone.max is alone.p is None
