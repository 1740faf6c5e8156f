"""Machines: cycles and chains in the graph of what features lead to.

The paper found such systems by hand; the search is ours.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence

import numpy as np

# Features of the cycles that are all found, and of whatever is found.
LONGEST, LONGEST_CHAIN = 5, 20


@dataclasses.dataclass(frozen=True)
class Machine:
  """Features that lead from one to the next.

  Attributes:
    kind: self-loop | two-cycle | cycle | chain.
    nodes: the features; of a cycle, from its lowest number on.
    weights: of the edges from each to the next, a cycle's last one back.
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

  Edges are put in from the strongest down, and each is looked at when it is the
  weakest. Then it closes cycles, which are found once; and it is the seed of a
  chain, which grows along the strongest edge at its end, then at its head, to
  features that it does not hold. A chain that closes is a cycle, too; a part of
  a cycle is no chain.

  Args:
    source_M, target_M, weight_M: the edges, each pair once.
    threshold: what an edge has to be above; at least 0.
    longest, longest_chain: features of the cycles and chains looked for.
    looks: at edges, in all; bounds the work to some seconds.

  Returns:
    Machines by their weakest edge, then by the geometric mean, falling; and the
    weight above which all are found: the threshold, or where `looks` ran out.
  """
  edges = sorted(
    (-float(w), int(i), int(j))
    for w, i, j in zip(weight_M, source_M, target_M, strict=True)
  )
  # Neighbours and the weights of the edges, the strongest first.
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
  """The sources of the same edges where rows of logit weights are permuted.

  Feature i then predicts what another feature of its group did: which tokens
  each feature fires on stays, and so do the edges, their weights, how many lead
  to each feature and how many leave each row. What goes is that the feature
  that is led to is the one that leads on.

  Args:
    source_M: of the edges.
    group_F: numbers; rows are permuted among the features of the same one, and
      stay where it is negative.
    rng: of the permutation.
  """
  place_F = np.arange(group_F.size)
  for group in np.unique(group_F[group_F >= 0]):
    own = np.flatnonzero(group_F == group)
    place_F[own] = rng.permutation(own)
  return place_F[source_M]


def is_clique(nodes: Sequence[int], edges: Collection[tuple[int, int]]) -> bool:
  """Whether features all lead to each other, so that they stand in no order.

  Of a pair each must lead to itself, too: one that alternates is no clique.
  """
  loops = len(nodes) == 2
  return len(nodes) > 1 and all(
    (i, j) in edges for i in nodes for j in nodes if loops or i != j
  )
