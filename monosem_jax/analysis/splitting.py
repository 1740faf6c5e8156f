"""How features split in larger dictionaries (paper, on feature splitting).

Two features are near if their activations are alike where one of them fires:
the masked cosine similarity, `features.moments.masked_cosine`. Edges above a
threshold join the features of dictionaries of growing size, and a feature of a
small one leads to those it splits into. The paper notes that the result is not
a tree: features merge, too.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

# A feature: its dictionary and its number.
Node = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Edges:
  """The edges from the features of one dictionary to those of another.

  Attributes:
    source_M, target_M: numbers of the features.
    similarity_M: above the threshold, float32.
  """

  source_M: np.ndarray
  target_M: np.ndarray
  similarity_M: np.ndarray


def edges(
  similarity_XY: np.ndarray,
  live_X: np.ndarray,
  live_Y: np.ndarray,
  threshold: float = 0.4,
) -> Edges:
  """The pairs of live features above the threshold.

  Ultralow-density features are to be counted as not live (as the paper, which
  also gives the threshold, "about 0.4").
  """
  near_XY = similarity_XY > threshold
  near_XY &= live_X[:, None] & live_Y
  source_M, target_M = np.nonzero(near_XY)
  return Edges(source_M, target_M, similarity_XY[source_M, target_M])


def components(
  levels: Mapping[tuple[str, str], Edges], live: Mapping[str, np.ndarray]
) -> list[list[Node]]:
  """The connected components of the graph, largest first.

  Args:
    levels: edges, by the names of the dictionaries they join.
    live: which features are nodes, by dictionary.
  """
  parent = {
    (name, int(i)): (name, int(i))
    for name, live_F in live.items()
    for i in np.flatnonzero(live_F)
  }

  def root(node: Node) -> Node:
    while parent[node] != node:
      parent[node] = parent[parent[node]]
      node = parent[node]
    return node

  for (source, target), found in levels.items():
    for i, j in zip(found.source_M, found.target_M, strict=True):
      parent[root((source, int(i)))] = root((target, int(j)))
  grouped: dict[Node, list[Node]] = {}
  for node in parent:
    grouped.setdefault(root(node), []).append(node)
  return sorted(grouped.values(), key=lambda nodes: (-len(nodes), nodes[0]))


def descendants(
  node: Node,
  order: Sequence[str],
  levels: Mapping[tuple[str, str], Edges],
) -> dict[str, list[int]]:
  """The features that one leads to, dictionary by dictionary.

  Args:
    node: where to start.
    order: dictionaries from small to large; edges are followed from each to
      the next.
    levels: edges, by the names of the dictionaries they join.

  Returns:
    From the node's own dictionary on, the numbers of the features, rising.
  """
  name, i = node
  found = {name: [i]}
  for source, target in zip(
    order[order.index(name) :], order[order.index(name) + 1 :], strict=False
  ):
    level = levels[source, target]
    reached = np.isin(level.source_M, found[source])
    found[target] = np.unique(level.target_M[reached]).tolist()
  return found


@dataclasses.dataclass(frozen=True)
class Summary:
  """How the features of a dictionary relate to those of a larger one.

  Attributes:
    splits: features with more than one edge to the larger one.
    one_to_one: with one edge, to a feature that has no other.
    merges: features of the larger one with more than one edge.
    without: features that no edge leaves.
    new: features of the larger one that no edge enters.
  """

  splits: int
  one_to_one: int
  merges: int
  without: int
  new: int


def summary(found: Edges, live_X: np.ndarray, live_Y: np.ndarray) -> Summary:
  """Counts over the live features of both."""
  out_X = np.bincount(found.source_M, minlength=live_X.size)
  in_Y = np.bincount(found.target_M, minlength=live_Y.size)
  alone_M = (out_X[found.source_M] == 1) & (in_Y[found.target_M] == 1)
  return Summary(
    splits=int((out_X > 1).sum()),
    one_to_one=int(alone_M.sum()),
    merges=int((in_Y > 1).sum()),
    without=int((live_X & (out_X == 0)).sum()),
    new=int((live_Y & (in_Y == 0)).sum()),
  )
