"""Searches for machines: cycles and chains in the graph of edges of `automata`.

The paper found such systems by hand; the search is ours.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence

import numpy as np

# All cycles of up to this many features are found.
LONGEST = 5
# The largest number of features of any machine.
LONGEST_CHAIN = 20


@dataclasses.dataclass(frozen=True)
class Machine:
  """Features that lead from one to the next.

  Attributes:
    kind: self-loop | two-cycle | cycle | chain.
    nodes: the features in order; a cycle starts at its lowest index.
    weights: weights of the edges from each feature to the next. A cycle's last
      edge leads back to its first feature.
  """

  kind: str
  nodes: tuple[int, ...]
  weights: tuple[float, ...]


def search(
  source_M: Iterable[int],
  target_M: Iterable[int],
  weight_M: Iterable[float],
  threshold: float,
  longest: int = LONGEST,
  longest_chain: int = LONGEST_CHAIN,
  looks: int = 20_000_000,
) -> tuple[list[Machine], float]:
  """Finds the machines in a sparse graph.

  Edges are added to the graph from the strongest down, so that each new edge is
  the weakest so far. The search then finds the cycles that the new edge closes;
  each cycle is found once, by its weakest edge. It also grows a chain from the
  new edge: along the strongest edge at its end, then at its head, to features
  that are not yet in the chain. A chain that closes counts as a cycle, and part
  of a cycle does not count as a chain.

  Args:
    source_M, target_M, weight_M: the edges; each pair occurs once.
    threshold: the weight that edges must exceed; at least 0.
    longest: maximum number of features of the cycles.
    longest_chain: maximum number of features of the chains.
    looks: number of edges that may be visited, which bounds the work to some
      seconds.

  Returns:
    The machines by descending weight of their weakest edge, then by descending
    geometric mean of their weights. And the weight above which all machines
    were
    found: the threshold, or the weight at which `looks` ran out.
  """
  edges = sorted(
    (-float(w), int(i), int(j))
    for w, i, j in zip(weight_M, source_M, target_M, strict=True)
  )
  # Neighbours in both directions with the weights of edges, strongest first.
  ahead: dict[int, dict[int, float]] = {k: {} for e in edges for k in e[1:]}
  behind: dict[int, dict[int, float]] = {k: {} for k in ahead}
  cycles: dict[tuple[int, ...], None] = {}
  chains: dict[tuple[int, ...], None] = {}

  def close(path):
    nonlocal looks
    looks -= 1 + len(ahead[path[-1]])
    if path[0] in ahead[path[-1]]:
      yield path
    for j in ahead[path[-1]] if len(path) < longest and looks > 0 else ():
      if j not in path:
        yield from close((*path, j))

  def grow(path, along):
    nonlocal looks
    looks -= len(path)
    more = [j for j in along[path[-1]] if j not in path]
    if not more or len(path) >= longest_chain:
      return path
    return grow((*path, more[0]), along)

  for w, i, j in edges:
    if -w <= threshold:
      break
    ahead[i][j] = behind[j][i] = -w
    closed: list[tuple[int, ...]] = []
    path: tuple[int, ...] = (i,)
    if i != j:
      closed, path = list(close((i, j))), grow((i, j), ahead)
    if i not in ahead[path[-1]]:
      path = grow(path[::-1], behind)[::-1]
    if path[0] in ahead[path[-1]]:
      closed.append(path)
    elif len(path) > 2:
      chains[path] = None
    for path in closed:
      first = path.index(min(path))
      cycles[path[first:] + path[:first]] = None
    if looks <= 0:
      threshold = -w
      break

  arcs = {
    (path + path)[first : first + n]
    for path in cycles
    for first in range(len(path))
    for n in range(3, len(path) + 1)
  }
  found = [('chain', p, p[1:]) for p in chains if p not in arcs]
  for own in cycles:
    kind = {1: 'self-loop', 2: 'two-cycle'}.get(len(own), 'cycle')
    found.append((kind, own, own[1:] + own[:1]))
  weigh = lambda path, then: tuple(
    ahead[i][j] for i, j in zip(path, then, strict=False)
  )
  machines = [Machine(k, path, weigh(path, then)) for k, path, then in found]
  mean = lambda m: math.prod(m.weights) ** (1 / len(m.weights))
  machines.sort(key=lambda m: (-min(m.weights), -mean(m), m.nodes))
  return machines, threshold


def shuffled(
  source_M: np.ndarray, group_F: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """The sources of the edges after permuting rows of logit weights.

  Each feature then predicts what another feature of its group predicted. The
  permutation keeps the tokens on which features fire, the edges with their
  weights, the number of edges into each feature, and the number out of each
  row. It breaks the link between a feature as a target and as a source.

  Args:
    source_M: the source of each edge.
    group_F: the group of each feature, within which rows are permuted; negative
      for features that keep their rows.
    rng: random generator of the permutation.
  """
  place_F = np.arange(group_F.size)
  for group in np.unique(group_F[group_F >= 0]):
    own = np.flatnonzero(group_F == group)
    place_F[own] = rng.permutation(own)
  return place_F[source_M]


def is_clique(nodes: Sequence[int], edges: Collection[tuple[int, int]]) -> bool:
  """Whether all features lead to each other, so that they have no order.

  In a pair each must also lead to itself: a pair that alternates has an order.
  """
  loops = len(nodes) == 2
  return len(nodes) > 1 and all(
    (i, j) in edges for i in nodes for j in nodes if loops or i != j
  )
