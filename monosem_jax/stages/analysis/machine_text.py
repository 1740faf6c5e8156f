"""Measures which features follow each other in held-out text, and the order."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from monosem_jax.analysis import following, intervals, significance
from monosem_jax.analysis.results.automata import Followed
from monosem_jax.features import moments
from monosem_jax.run import metrics
from monosem_jax.run.files import write_arrays
from monosem_jax.stages.analysis.documents import GROUPS
from monosem_jax.stages.analysis.inputs import AnalysisInputs, activations, part
from monosem_jax.text import stream

SPLIT = 'val'
# Groups of documents to choose ordered edges on, and to report on.
_CHOSEN_ON, _TOLD_ON = slice(0, None, 2), slice(1, None, 2)
Edge = tuple[int, int]


def batches(
  inputs: AnalysisInputs, name: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields whole batches of held-out contexts: tokens_BT, context_B."""
  there = inputs.store.n_contexts(SPLIT)
  B = min(inputs.config.batch_size, there)
  limit = max(min(inputs.config.automata.held_out, there) // B, 1)
  bar = metrics.progress(
    f'analysis/automata/{name}', total=limit * B, unit='ctx'
  )
  opened = stream.batches(inputs.store, SPLIT, B, seed=None, start=0, epochs=1)
  try:
    for _, (tokens_BT, context_B, *_) in zip(
      range(limit), opened, strict=False
    ):
      bar.update(B)
      yield tokens_BT, context_B
  finally:
    opened.close()
    bar.close()


@dataclasses.dataclass(frozen=True, eq=False)
class Counted:
  """Counts of features that follow each other in held-out text.

  Attributes:
    at: the column of each of M edges.
    pairs_G, first_GM, then_GM, both_GM: see `following.Followed`, for the first
      and second feature of each edge.
  """

  at: dict[Edge, int]
  pairs_G: np.ndarray
  first_GM: np.ndarray
  then_GM: np.ndarray
  both_GM: np.ndarray

  def both(self, edges: Sequence[Edge]) -> np.ndarray:
    """Returns the number of token pairs on which each edge fires, both_GM."""
    return self.both_GM[:, self._columns(edges)]

  def rate(
    self, edges: Sequence[Edge], groups: slice = slice(None)
  ) -> np.ndarray:
    """Returns P(target fires next | source fires); NaN without a firing."""
    first_M = self.first_GM[groups, self._columns(edges)].sum(0)
    both_M = self.both(edges)[groups].sum(0)
    return both_M / np.where(first_M > 0, first_M, np.nan)

  def base(self, edges: Sequence[Edge]) -> np.ndarray:
    """Returns P(target fires next)."""
    then_M = self.then_GM[:, self._columns(edges)].sum(0)
    return then_M / self.pairs_G.sum()

  def p_rising(self, edges: Sequence[Edge]) -> np.ndarray:
    """Returns p-values that targets do not follow more often than by chance."""
    own = self._columns(edges)
    more_GM = following.above_base(
      self.pairs_G,
      self.first_GM[:, own],
      self.then_GM[:, own],
      self.both_GM[:, own],
    )
    return following.surprise(more_GM)

  @functools.cached_property
  def _direction_p(self) -> dict[bool, dict[Edge, float]]:
    """Returns p-values that edges are not more frequent than `other`."""
    found = {}
    for of_pair in (False, True):
      every = [edge for edge in self.at if other(edge, of_pair) in self.at]
      others = [other(edge, of_pair) for edge in every]
      more_GM = self.both(every) - self.both(others)
      p_M = following.surprise(more_GM[_CHOSEN_ON])
      found[of_pair] = dict(zip(every, p_M.tolist(), strict=True))
    return found

  def order_p(self, edges: Sequence[Edge], of_pair: bool) -> float | None:
    """Returns the p-value that some edge has no direction; None for self-loops.

    It is the largest p-value of the edges. It uses one half of the groups of
    documents; `numbers` reports on the other half.
    """
    if any(i == j for i, j in edges):
      return None
    return max(self._direction_p[of_pair][edge] for edge in edges)

  def numbers(self, edge: Edge, of_pair: bool) -> dict[str, Any]:
    """Returns the numbers of an edge, with intervals over groups of documents.

    They use the half of the groups that was not used to choose.
    """
    m = self.at[edge]
    own = {
      'both': self.both_GM[_TOLD_ON, m],
      'first': self.first_GM[_TOLD_ON, m],
      'then': self.then_GM[_TOLD_ON, m],
      'pairs': self.pairs_G[_TOLD_ON],
      'other': self.both_GM[_TOLD_ON, self.at[other(edge, of_pair)]],
    }
    rate = lambda s: s['both'] / s['first'] if s['first'] else None
    rise = lambda s: rate(s) - s['then'] / s['pairs'] if s['first'] else None

    def asymmetry(s):
      either = s['both'] + s['other']
      return (s['both'] - s['other']) / either if either else None

    total = {k: x.sum() for k, x in own.items()}
    return {
      'fired': int(total['first']),
      'observed': rate(total),
      'observed_interval': intervals.over_groups(own, rate),
      'base': total['then'] / total['pairs'],
      'rise': rise(total),
      'rise_interval': intervals.over_groups(own, rise),
      'reverse': self.rate([edge[::-1]], _TOLD_ON)[0],
      'stays': self.rate([(edge[0], edge[0])], _TOLD_ON)[0],
      'asymmetry': None if edge[0] == edge[1] else asymmetry(total),
      'asymmetry_interval': None
      if edge[0] == edge[1]
      else intervals.over_groups(own, asymmetry),
    }

  def _columns(self, edges: Sequence[Edge]) -> np.ndarray:
    return np.array([self.at[edge] for edge in edges], np.int64)


def other(edge: Edge, of_pair: bool) -> Edge:
  """Returns the edge to compare with: the reverse, or staying in a pair.

  A pair leads back anyway, so its reverse says nothing.
  """
  return (edge[0], edge[0]) if of_pair else edge[::-1]


def count(
  inputs: AnalysisInputs, edges: set[Edge], others: Sequence[Edge]
) -> Counted:
  """Counts edges, their reverses and staying; only the edges for others.

  Each block of edges takes a pass over held-out text.
  """
  main = inputs.main
  every = {e for i, j in edges for e in ((i, j), (j, i), (i, i), (j, j))}
  at = {edge: m for m, edge in enumerate(sorted(every.union(others)))}
  pair_M2 = np.array(list(at), np.int64).reshape(-1, 2)
  # Three matrices of edges by tokens, one of them in float32.
  tokens = inputs.config.batch_size * inputs.store.context
  size = max(1, int(inputs.config.block_bytes / (6 * tokens)))
  parts = []
  for start in range(0, max(len(pair_M2), 1), size):
    own, index_m = np.unique(pair_M2[start : start + size], return_inverse=True)
    source_m, target_m = index_m.reshape(-1, 2).T.astype(np.int32)
    step = following.make_step(
      activations(inputs.dot),
      inputs.store.tokenizer.separator,
      GROUPS,
      source_m,
      target_m,
      inputs.dot,
    )
    found = moments.collect(
      step,
      (inputs.lm(main.model), part(main.sae, own)),
      (
        (inputs.put(tokens_BT), inputs.put(inputs.groups(SPLIT, context_B)))
        for tokens_BT, context_B in batches(inputs, 'followed')
      ),
    )
    parts.append(
      (found.first_GX[:, source_m], found.then_GX[:, target_m], found.both_GM)
    )
  columns = (np.concatenate(x, 1) for x in zip(*parts, strict=True))
  return Counted(at, found.pairs_G, *columns)


def transitions(
  out: pathlib.Path,
  edges: list[Edge],
  permuted: list[Edge],
  counted: Counted,
  q: float,
) -> dict[str, Followed]:
  """Returns the counts in held-out text of all edges above the threshold."""

  def told(own: list[Edge]) -> tuple[Followed, dict[str, np.ndarray]]:
    rate_M, base_M = counted.rate(own), counted.base(own)
    seen_M, p_M = np.isfinite(rate_M), counted.p_rising(own)
    q_M = np.full(len(own), np.nan)
    q_M[seen_M] = significance.benjamini_hochberg(p_M[seen_M], seen_M.sum())
    median = lambda x_M: float(np.median(x_M[seen_M])) if seen_M.any() else None
    columns = {'observed_M': rate_M, 'base_M': base_M, 'p_M': p_M, 'q_M': q_M}
    return Followed(
      edges=len(own),
      seen=int(seen_M.sum()),
      rising=int((q_M <= q).sum()),
      median_observed=median(rate_M),
      median_base=median(base_M),
      median_rise=median(rate_M - base_M),
    ), columns

  numbers, columns = told(edges)
  pair_M2 = np.array(edges, np.int64).reshape(-1, 2)
  backwards = [edge[::-1] for edge in edges]
  columns |= {
    'source_M': pair_M2[:, 0],
    'target_M': pair_M2[:, 1],
    'reverse_M': counted.rate(backwards),
  }
  write_arrays(out / 'held_out.npz', columns)
  return {'predicted': numbers, 'permuted': told(permuted)[0]}
