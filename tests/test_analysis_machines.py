"""Machines: the search, against brute force, and what chance makes."""

import itertools

import numpy as np
import pytest

from monosem_jax.analysis import machines as lib, significance


def random_graph(seed: int, n: int, edges: int) -> dict:
  rng = np.random.default_rng(seed)
  flat = rng.choice(n * n, size=edges, replace=False)
  weights = rng.permutation(edges) / edges + 0.01
  return {
    (int(f) // n, int(f) % n): w for f, w in zip(flat, weights, strict=True)
  }


def search(graph: dict, threshold: float, **options):
  source, target = zip(*graph, strict=True)
  return lib.search(source, target, list(graph.values()), threshold, **options)


def kind_of(nodes) -> str:
  return {1: 'self-loop', 2: 'two-cycle'}.get(len(nodes), 'cycle')


def all_cycles(graph: dict, n: int, longest: int) -> dict:
  found = {}
  for size in range(1, longest + 1):
    for nodes in itertools.permutations(range(n), size):
      links = list(zip(nodes, nodes[1:] + nodes[:1], strict=True))
      if nodes[0] == min(nodes) and all(link in graph for link in links):
        found[nodes] = tuple(graph[link] for link in links)
  return found


@pytest.mark.parametrize(('seed', 'edges'), [(0, 8), (1, 14), (2, 20), (3, 30)])
def test_cycles_are_those_of_brute_force(seed, edges):
  n, threshold = 6, 0.15
  graph = random_graph(seed, n, edges)
  strong = {k: w for k, w in graph.items() if w > threshold}
  want = all_cycles(strong, n, 4)
  machines, reached = search(graph, threshold, longest=4)
  assert reached == threshold
  got = [m for m in machines if m.kind != 'chain' and len(m.nodes) <= 4]
  assert {m.nodes: m.weights for m in got} == want
  assert len(got) == len(want)
  assert all(m.kind == kind_of(m.nodes) for m in got)
  # Longer ones are found by the way.
  every = all_cycles(strong, n, n)
  for m in machines:
    if m.kind != 'chain':
      assert every[m.nodes] == m.weights
  rank = [(min(m.weights), np.exp(np.log(m.weights).mean())) for m in machines]
  for one, other in itertools.pairwise(rank):
    assert one[0] >= other[0]
    if one[0] == other[0]:
      assert one[1] >= other[1] - 1e-12


def greedy_chain(graph: dict, seed: tuple[int, int], n: int):
  """The chain of an edge: of all simple paths ahead, with edges as strong as
  the seed, that of the largest weights in turn; then likewise behind."""
  strong = {k: w for k, w in graph.items() if w >= graph[seed]}

  def best(start: int, taken, flip: bool):
    paths = [()]
    for size in range(1, n):
      for nodes in itertools.permutations(set(range(n)) - set(taken), size):
        links = itertools.pairwise((start, *nodes))
        links = [link[::-1] if flip else link for link in links]
        if all(link in strong for link in links):
          paths.append(nodes)

    def weights(nodes):
      links = itertools.pairwise((start, *nodes))
      return tuple(strong[link[::-1] if flip else link] for link in links)

    return max(paths, key=weights)

  path = (*seed, *best(seed[1], seed, False))
  if (path[-1], seed[0]) not in strong:
    path = (*best(seed[0], path, True)[::-1], *path)
  return path, (path[-1], path[0]) in strong


@pytest.mark.parametrize(
  ('seed', 'edges'), [(4, 10), (5, 12), (6, 18), (7, 25)]
)
def test_chains_are_those_of_brute_force(seed, edges):
  n, threshold = 6, 0.15
  graph = random_graph(seed, n, edges)
  strong = {k: w for k, w in graph.items() if w > threshold}
  machines, _ = search(graph, threshold, longest=3)
  cycles = [m.nodes for m in machines if m.kind != 'chain']
  arcs = {
    tuple(itertools.islice(itertools.cycle(c), k, k + size))
    for c in cycles
    for k in range(len(c))
    for size in range(3, n + 1)
    if size <= len(c)
  }
  want = set()
  for edge in strong:
    if edge[0] != edge[1]:
      path, closes = greedy_chain(strong, edge, n)
      if closes:
        first = path.index(min(path))
        assert path[first:] + path[:first] in cycles
      elif len(path) > 2 and path not in arcs:
        want.add(path)
  chains = [m for m in machines if m.kind == 'chain']
  assert want and {m.nodes for m in chains} == want
  assert len(chains) == len(want)
  for m in chains:
    links = itertools.pairwise(m.nodes)
    assert m.weights == tuple(graph[link] for link in links)


def test_a_long_ring_is_found_by_the_way():
  graph = {(i, (i + 1) % 9): 0.9 - 0.05 * i for i in range(9)}
  machines, _ = search(graph, 0.1)
  assert [(m.kind, m.nodes) for m in machines] == [('cycle', tuple(range(9)))]


def test_a_large_graph_is_given_up_in_time_with_the_strongest_found():
  rng = np.random.default_rng(0)
  flat = rng.choice(4_000**2, size=100_000, replace=False)
  graph = {
    (int(f) // 4_000, int(f) % 4_000): float(w)
    for f, w in zip(flat, rng.random(100_000), strict=True)
  }
  whole, reached = search(graph, 0.9)
  assert reached == 0.9
  few, reached = search(graph, 0.0, looks=20_000)
  assert 0.5 < reached < 1
  strong = lambda machines: [
    m for m in machines if min(m.weights) > max(reached, 0.9)
  ]
  cycles = lambda machines: [m for m in strong(machines) if m.kind != 'chain']
  assert cycles(few) == cycles(whole)


def test_an_empty_graph_has_no_machines():
  assert lib.search([], [], [], 0.1) == ([], 0.1)


# Order, and what chance makes.


def test_a_clique_leads_from_each_to_each():
  ring = {(0, 1), (1, 2), (2, 0)}
  assert not lib.is_clique((0, 1, 2), ring)
  both = ring | {(j, i) for i, j in ring}
  assert lib.is_clique((0, 1, 2), both)
  assert not lib.is_clique((0, 1, 2), both - {(0, 2)})
  # Two that alternate are none, unless each also stays.
  assert not lib.is_clique((0, 1), both)
  assert not lib.is_clique((0, 1), both | {(0, 0)})
  assert lib.is_clique((0, 1), both | {(0, 0), (1, 1)})
  assert not lib.is_clique((0,), {(0, 0)})


def test_rows_are_permuted_among_live_features_alone():
  rng = np.random.default_rng(0)
  live_F = np.arange(40) % 3 > 0
  group_F = np.where(live_F, 0, -1)
  source_M = rng.choice(40, 500)
  got_M = lib.shuffled(source_M, group_F, rng)
  np.testing.assert_array_equal(
    got_M[~live_F[source_M]], source_M[~live_F[source_M]]
  )
  # All edges of a row go to one live feature, and no two rows to the same.
  to = {}
  for source, got in zip(source_M.tolist(), got_M.tolist(), strict=True):
    assert to.setdefault(source, got) == got and live_F[got] == live_F[source]
  assert len(set(to.values())) == len(to)
  assert sum(i != j for i, j in to.items()) > len(to) / 2
  again_M = lib.shuffled(source_M, group_F, rng)
  assert np.any(got_M != again_M)


def test_rows_are_permuted_within_groups():
  rng = np.random.default_rng(3)
  group_F = rng.integers(-1, 3, 60)
  source_M = np.arange(60)
  got_M = lib.shuffled(source_M, group_F, rng)
  np.testing.assert_array_equal(group_F[got_M], group_F)
  np.testing.assert_array_equal(np.sort(got_M), source_M)
  moved = got_M != source_M
  assert not moved[group_F < 0].any()
  assert all(moved[group_F == g].any() for g in range(3))


def test_benjamini_hochberg_rejects_what_its_definition_says():
  rng = np.random.default_rng(1)
  p_R = np.r_[rng.random(40) ** 4 / 20, [0.001, 0.001]]
  tests = 60
  q_R = significance.benjamini_hochberg(p_R, tests)
  for level in (0.01, 0.05, 0.1, 0.3, 0.9):
    everything = np.sort(np.r_[p_R, np.ones(tests - p_R.size)])
    bar = level * np.arange(1, tests + 1) / tests
    below = np.flatnonzero(everything <= bar)
    cut = everything[below[-1]] if below.size else -1
    np.testing.assert_array_equal(q_R <= level, p_R <= cut)
  assert significance.benjamini_hochberg(np.zeros(0), 5).size == 0


def test_tuples_are_counted():
  for n, turns in ((1, 1), (2, 2), (3, 3), (3, 1)):
    every = itertools.permutations(range(6), n)
    if turns > 1:
      every = (t for t in every if t[0] == min(t))
    assert significance.tuples(6, n, turns) == len(list(every))


def test_p_values_are_shares_of_all_tuples_of_all_permutations():
  rng = np.random.default_rng(2)
  weakest_R = rng.random(7).round(1)
  null = [rng.random(n).round(1) for n in (3, 0, 5)]
  got = significance.against(weakest_R, null, 10)
  for r, w in enumerate(weakest_R):
    there = sum((x >= w).sum() for x in null)
    assert got.p_R[r] == (1 + there) / 31
    assert got.expected_R[r] == there / 3
    # At this bar: how many permuted rows make, of how many were found.
    least = min(
      10 * (1 + sum((x >= bar).sum() for x in null)) / 31
      / (weakest_R >= bar).sum()
      for bar in weakest_R[weakest_R <= w]
    )  # fmt: skip
    assert got.q_R[r] == pytest.approx(min(least, 1))
  assert got.null_P.tolist() == [3, 0, 5]


def two_cycles(seed: int, planted: int) -> tuple[set, set]:
  """Those of a random graph that survive at 5%, and those planted there."""
  rng, F, P = np.random.default_rng(seed), 150, 20
  graph = {}
  for i in range(F):
    for j in rng.choice(F, 12, False):
      graph[i, int(j)] = rng.beta(1, 4)
  pairs = rng.permutation(F)[: 2 * planted].reshape(-1, 2)
  for i, j in pairs.tolist():
    graph[i, j], graph[j, i] = rng.uniform(0.5, 0.9, 2)
  source_M, target_M = np.array(list(graph)).T
  weight_M = list(graph.values())

  def found(source_M):
    machines, _ = lib.search(source_M, target_M, weight_M, 0.1, longest=2)
    return [m for m in machines if m.kind == 'two-cycle']

  own = found(source_M)
  null = [
    [
      min(m.weights)
      for m in found(lib.shuffled(source_M, np.zeros(F, int), rng))
    ]
    for _ in range(P)
  ]
  test = significance.against(
    [min(m.weights) for m in own], null, significance.tuples(F, 2, 2)
  )
  kept = {m.nodes for m, q in zip(own, test.q_R, strict=True) if q <= 0.05}
  return kept, {tuple(sorted(pair)) for pair in pairs.tolist()}


def test_planted_machines_survive_and_few_others():
  recalled, false = [], []
  for seed in range(6):
    kept, true = two_cycles(seed, 30)
    recalled.append(len(kept & true) / len(true))
    false.append(len(kept - true) / max(len(kept), 1))
  assert np.mean(recalled) > 0.85
  assert np.mean(false) < 0.08


def test_where_nothing_is_planted_nothing_survives():
  # At 5%, one graph of twenty may keep some.
  assert sum(bool(two_cycles(seed, 0)[0]) for seed in range(20)) <= 3


def test_sets_of_one_kind_do_not_survive_rows_permuted_within_them():
  rng, F, P, G = np.random.default_rng(4), 480, 20, 40
  group_F = np.arange(F) % G
  # Features of a group lead to each other, and hardly to any other.
  chance_FF = np.where(group_F[:, None] == group_F, 0.9, 0.005)
  graph_FF = rng.uniform(0.1, 0.4, (F, F)) * (rng.random((F, F)) < chance_FF)
  np.fill_diagonal(graph_FF, 0)
  planted = [(0, G), (1, 1 + G), (2, 2 + G)]
  for i, j in planted:
    graph_FF[i, j] = graph_FF[j, i] = 0.9
  source_M, target_M = np.nonzero(graph_FF)
  weight_M = graph_FF[source_M, target_M]

  def found(source_M):
    machines, _ = lib.search(source_M, target_M, weight_M, 0.1, longest=2)
    return [m for m in machines if m.kind == 'two-cycle']

  own = found(source_M)

  def surviving(groups):
    null = [
      [min(m.weights) for m in found(lib.shuffled(source_M, groups, rng))]
      for _ in range(P)
    ]
    test = significance.against(
      [min(m.weights) for m in own], null, significance.tuples(F, 2, 2)
    )
    kept = zip(own, test.q_R, strict=True)
    return {m.nodes for m, q in kept if q <= 0.05}

  assert len(surviving(np.zeros(F, int))) > 1_000
  assert surviving(group_F) == set(planted)
