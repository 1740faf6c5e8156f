"""The graph of splitting features, on one that is drawn by hand."""

import numpy as np

from monosem_jax.analysis import splitting

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
