"""How features split in larger dictionaries (paper, on feature splitting).

Two features are near if their activations are alike where one of them fires:
the masked cosine similarity, `features.moments.masked_cosine`. Splits above a
threshold join the features of dictionaries of growing size, and a feature of a
small one leads to those it splits into. The paper notes that the result is not
a tree: features merge, too.

Everything that can be reached is more than what a feature splits into: one edge
into a broad feature brings all that leads on from there. Our filters ask more
of a child, in this order:

  dense         its density is above a floor;
  held_out      it fires on held-out text;
  under_parent  most of its activation is on tokens on which the first feature
                fires;
  on_label      most of it is on tokens of the label (base64), if there is one.

What passes them all is counted beside the same of null starts, other features
of about the same density.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis.results.arrays import Splits
from monosem_jax.analysis.results.splitting import Beside, Summary
from monosem_jax.features.moments import Moments

# Features whose densities differ by more than this factor are not alike.
WITHIN = 2.0
# A feature: its dictionary and its number.
Node = tuple[str, int]


def edges(
  similarity_XY: np.ndarray,
  live_X: np.ndarray,
  live_Y: np.ndarray,
  threshold: float = 0.4,
) -> Splits:
  """The pairs of live features above the threshold.

  Ultralow-density features are to be counted as not live (as the paper, which
  also gives the threshold, "about 0.4").
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
  levels: Mapping[tuple[str, str], Splits],
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


def summary(found: Splits, live_X: np.ndarray, live_Y: np.ndarray) -> Summary:
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


def masks(f_NX: jax.Array, on_NL: jax.Array | None = None) -> jax.Array:
  """Where features fire, where labels are on, and all tokens, for `shares`.

  Args:
    f_NX: activations.
    on_NL: bool; None without labels.

  Returns:
    1 and 0: mask_NM, the X features, then the labels, then one of all tokens.
  """
  ones_N1 = jnp.ones((len(f_NX), 1), f_NX.dtype)
  labels = () if on_NL is None else (on_NL.astype(f_NX.dtype),)
  return jnp.concatenate([(f_NX > 0).astype(f_NX.dtype), *labels, ones_N1], 1)


@dataclasses.dataclass(frozen=True)
class Shares:
  """How Y features lie to M masks; NaN where a feature or a mask is never on.

  Attributes:
    mass_MY: the share of a feature's activation that is on the mask's tokens.
    firing_MY: the share of the tokens on which it fires that are the mask's.
    found_MY: the share of the mask's tokens on which it fires.
  """

  mass_MY: np.ndarray
  firing_MY: np.ndarray
  found_MY: np.ndarray


def shares(m: Moments) -> Shares:
  """Shares from the moments of `masks` (the last: all tokens) and features."""
  some = lambda x: np.where(x > 0, x, np.nan)
  assert m.x_square_XY is not None, 'masks are squared'
  # Of a mask, the square is itself.
  both_MY = np.asarray(m.x_square_XY)
  return Shares(
    mass_MY=np.asarray(m.product_XY) / some(m.sum_Y),
    firing_MY=both_MY / some(both_MY[-1]),
    found_MY=both_MY / some(m.sum_X)[:, None],
  )


def sieve(passes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """What is left of K features after each filter and all before it.

  Args:
    passes: by the filters' names, in order, which features pass, bool.

  Returns:
    `reached`, all of them, and by the filters' names what is left, bool.
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
  """Null starts: the n live features nearest to another in log density.

  Nearest first; fewer where there are fewer within a factor of WITHIN.
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
  """A count of children and those of S null starts.

  Args:
    count: of the start.
    null_S: of the null starts.
    interval: `interval(values, statistic)`, of the null starts' mean.

  Returns:
    `count`; the null's `mean` (`interval`), `max` and `n`; and `p`, the chance
    of so large a count if the start were one of them, (1 + those with as many)
    / (1 + S). Without null starts these are None.
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
