"""How features split in larger dictionaries (paper, feature splitting).

Two features are similar if their activations are similar where one of them
fires; this is the masked cosine similarity, `features.moments.masked_cosine`.
Features of dictionaries of increasing size are joined by edges where it exceeds
a threshold, and a feature leads to the features into which it splits. The paper
notes that the result is not a tree, since features also merge.

Not every feature that can be reached is part of a split: one edge into a broad
feature brings in everything reached from there. So a child also has to pass our
filters, in this order:

  dense         its density is at least a floor;
  held_out      it fires on held-out text;
  under_parent  most of its activation is on tokens on which the start fires;
  on_label      most of its activation is on tokens of the label (base64), if
                there is one.

The number of children is compared with that of null starts, which are other
features of about the same density.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis.results.arrays import Splits
from monosem_jax.analysis.results.splitting import Beside, Summary
from monosem_jax.features.moments import Moments

# Null starts differ in density by at most this factor.
WITHIN = 2.0
# A feature: the name of its dictionary, and its index.
Node = tuple[str, int]


def edges(
  similarity_XY: np.ndarray,
  live_X: np.ndarray,
  live_Y: np.ndarray,
  threshold: float = 0.4,
) -> Splits:
  """The pairs of live features whose similarity is above the threshold.

  As in the paper, ultralow-density features should not count as live. The
  threshold is also the paper's, "about 0.4".
  """
  near_XY = similarity_XY > threshold
  near_XY &= live_X[:, None] & live_Y
  source_M, target_M = np.nonzero(near_XY)
  return Splits(source_M, target_M, similarity_XY[source_M, target_M])


def components(
  levels: Mapping[tuple[str, str], Splits], live: Mapping[str, np.ndarray]
) -> list[list[Node]]:
  """The connected components of the graph, largest first.

  Args:
    levels: edges, by the names of the two dictionaries.
    live: whether each feature is a node, by dictionary.
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
  levels: Mapping[tuple[str, str], Splits],
) -> dict[str, list[int]]:
  """The features reached from one feature, by dictionary.

  Args:
    node: the feature to start from.
    order: names of the dictionaries from small to large; edges are followed
      from each to the next.
    levels: edges, by the names of the two dictionaries.

  Returns:
    Indices of the features reached, ascending, for the node's own dictionary
    and each larger one.
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


def summary(found: Splits, live_X: np.ndarray, live_Y: np.ndarray) -> Summary:
  """Counts over the live features of both dictionaries."""
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


def masks(f_NX: jax.Array, on_NL: jax.Array | None = None) -> jax.Array:
  """Masks of the tokens on which features fire, and of labels, for `shares`.

  Args:
    f_NX: activations.
    on_NL: whether each token has each label, bool; None without labels.

  Returns:
    mask_NM, ones and zeros: the X features, then the labels, then a mask of all
    tokens.
  """
  ones_N1 = jnp.ones((len(f_NX), 1), f_NX.dtype)
  labels = () if on_NL is None else (on_NL.astype(f_NX.dtype),)
  return jnp.concatenate([(f_NX > 0).astype(f_NX.dtype), *labels, ones_N1], 1)


@dataclasses.dataclass(frozen=True)
class Shares:
  """How Y features overlap with M masks; NaN if either is never on.

  Attributes:
    mass_MY: share of a feature's activation on the mask's tokens.
    firing_MY: share of a feature's firings on the mask's tokens.
    found_MY: share of the mask's tokens on which a feature fires.
  """

  mass_MY: np.ndarray
  firing_MY: np.ndarray
  found_MY: np.ndarray


def shares(m: Moments) -> Shares:
  """Shares from the moments of `masks` with features."""
  some = lambda x: np.where(x > 0, x, np.nan)
  assert m.x_square_XY is not None, 'moments without squares of the masks'
  # A mask is its own square.
  both_MY = np.asarray(m.x_square_XY)
  return Shares(
    mass_MY=np.asarray(m.product_XY) / some(m.sum_Y),
    firing_MY=both_MY / some(both_MY[-1]),
    found_MY=both_MY / some(m.sum_X)[:, None],
  )


def sieve(passes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Which of K features are left after each filter and all filters before it.

  Args:
    passes: which features pass each filter, bool, by name and in order.

  Returns:
    `reached`, all features, and for each filter the features left, bool.
  """
  left_K = np.ones(len(next(iter(passes.values()))), bool)
  found = {'reached': left_K}
  for name, passes_K in passes.items():
    left_K = left_K & passes_K
    found[name] = left_K
  return found


def matched(
  density_F: np.ndarray, live_F: np.ndarray, start: int, n: int
) -> np.ndarray:
  """Null starts: the n live features nearest to the start in log density.

  They are ordered nearest first. There are fewer than n if fewer lie within a
  factor of WITHIN.
  """
  others = np.flatnonzero(live_F)
  others = others[others != start]
  away = np.abs(np.log(density_F[others] / density_F[start]))
  order = np.argsort(away, kind='stable')
  return others[order[away[order] <= np.log(WITHIN)]][:n]


def beside(
  count: int,
  null_S: np.ndarray,
  interval: Callable[..., tuple[float, float] | None],
) -> Beside:
  """Compares a number of children with that of S null starts.

  The p-value is (1 + null starts with at least as many) / (1 + S), which holds
  if the start is exchangeable with the null starts.

  Args:
    count: number of children of the start.
    null_S: number of children of each null start.
    interval: `interval(values, statistic)`, for the mean over null starts.
  """
  null_S = np.asarray(null_S)
  S = null_S.size
  return Beside(
    count=int(count),
    mean=float(null_S.mean()) if S else None,
    interval=interval(null_S, np.mean),
    max=int(null_S.max()) if S else None,
    n=int(S),
    p=float((1 + (null_S >= count).sum()) / (1 + S)) if S else None,
  )
