"""Tests machines against permuted rows, and finds the systems of the paper."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from monosem_jax.analysis import machines, roles, significance
from monosem_jax.analysis.results.arrays import Successors
from monosem_jax.analysis.results.automata import FamilyCount, Named
from monosem_jax.config import settings
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.stages.analysis.machine_text import Edge

# In the order of the list. In a clique, all features lead to each other.
KINDS = ('self-loop', 'two-cycle', 'cycle', 'chain', 'clique')


@dataclasses.dataclass(frozen=True)
class Judged:
  """A machine and its test.

  Attributes:
    kind: one of KINDS.
    nodes, weights: see `machines.Machine`.
    p, q, expected: see `significance.Test`; None if the search was not complete
      or found nothing.
    q_within: q against rows permuted among features of one label.
  """

  kind: str
  nodes: tuple[int, ...]
  weights: tuple[float, ...]
  p: float | None
  q: float | None
  expected: float | None
  q_within: float | None

  @property
  def closes(self) -> bool:
    return self.kind != 'chain'

  @property
  def edges(self) -> list[Edge]:
    after = self.nodes[1:] + (self.nodes[:1] if self.closes else ())
    return list(zip(self.nodes, after, strict=False))

  @property
  def is_pair(self) -> bool:
    return len(self.nodes) == 2


def judge(
  inputs: AnalysisInputs,
  edges: Successors,
  above: set[Edge],
  labels: Sequence[str],
) -> tuple[list[Judged], list[FamilyCount], float]:
  """Tests all machines against the machines in graphs of permuted rows.

  Rows are permuted among all live features, and also among features of one
  label. The second null keeps the edges between features of one kind of text; a
  machine that it explains may be just such a set of features.

  Args:
    inputs: the inputs of the analyses.
    edges: the edges from `automata.predict`.
    above: the edges above the threshold.
    labels: the best label of each feature, or ''.

  Returns:
    The machines, strongest first; by kind and size, the counts found and in
    permuted graphs; and the weight above which the search is complete.
  """
  c, live_F = inputs.config.automata, inputs.main.live_F
  rng = np.random.default_rng(inputs.config.seed)
  graph = lambda source_M: machines.search(
    source_M, edges.target_M, edges.gain_M, c.threshold
  )
  found, complete = graph(edges.source_M)
  label_F = np.unique(np.asarray(labels), return_inverse=True)[1]
  nulls: dict[str, list[list[machines.Machine]]] = {}
  for name, group_F in (('null', 0), ('within', label_F)):
    group_F = np.where(live_F, group_F, -1)
    nulls[name] = []
    for _ in range(c.permutations):
      own, reached = graph(machines.shuffled(edges.source_M, group_F, rng))
      nulls[name].append(own)
      complete = max(complete, reached)
  told: dict[tuple[str, tuple[int, ...]], tuple[float | None, ...]] = {}
  table = []
  own_of = _families(found, complete)
  nulls_of = {
    name: [_families(null, complete) for null in own]
    for name, own in nulls.items()
  }
  for kind, n in sorted(
    set(own_of).union(*itertools.chain(*nulls_of.values())),
    key=lambda family: (KINDS.index(family[0]), family[1] or np.inf),
  ):
    own = own_of.get((kind, n), [])
    tests = {
      name: significance.against(
        [min(m.weights) for m in own],
        [[min(m.weights) for m in null.get((kind, n), [])] for null in nulls],
        _tuples(int(live_F.sum()), kind, n),
      )
      for name, nulls in nulls_of.items()
    }
    test, within = tests['null'], tests['within']
    told |= {
      (m.kind, m.nodes): tuple(map(float, row))
      for m, *row in zip(
        own, test.p_R, test.q_R, test.expected_R, within.q_R, strict=True
      )
    }
    survives_R = test.q_R <= c.q
    table.append(
      FamilyCount(
        kind=kind,
        features=n,
        found=len(own),
        **_permuted_rows_make('null', test.null_P),
        **_permuted_rows_make('within', within.null_P),
        surviving=int(survives_R.sum()),
        surviving_within=int((survives_R & (within.q_R <= c.q)).sum()),
      )
    )
  judged = []
  for m in found:
    clique = m.kind != 'chain' and machines.is_clique(m.nodes, above)
    tested = told.get((m.kind, m.nodes), (None,) * 4)
    judged.append(
      Judged('clique' if clique else m.kind, m.nodes, m.weights, *tested)
    )
  return judged, table, complete


def _permuted_rows_make(name: str, null_P: np.ndarray) -> dict[str, Any]:
  """Returns the counts of machines in permuted graphs."""
  return {
    f'{name}_mean': float(null_P.mean()),
    f'{name}_sd': float(null_P.std(ddof=1)) if null_P.size > 1 else None,
    f'{name}_min': int(null_P.min()),
    f'{name}_max': int(null_P.max()),
  }


# The kind and the number of features; 0 for all other numbers.
Family = tuple[str, int]


def _families(
  found: Sequence[machines.Machine], complete: float
) -> dict[Family, list[machines.Machine]]:
  """Returns the machines above the complete weight, by family.

  Long chains and cycles are pooled.
  """
  families: dict[Family, list[machines.Machine]] = {}
  for m in found:
    n = len(m.nodes)
    pooled = m.kind == 'chain' or n > machines.LONGEST
    if min(m.weights) > complete:
      families.setdefault((m.kind, 0 if pooled else n), []).append(m)
  return families


def _tuples(live: int, kind: str, n: int) -> float:
  """Returns the number of tuples of a family."""
  if n:
    return significance.tuples(live, n, n)
  turns = lambda n: 1 if kind == 'chain' else n
  first = 3 if kind == 'chain' else machines.LONGEST + 1
  sizes = range(first, min(machines.LONGEST_CHAIN, live) + 1)
  return sum(significance.tuples(live, n, turns(n)) for n in sizes)


def permuted(inputs: AnalysisInputs, edges: Successors) -> list[Edge]:
  """Returns the edges above the threshold of one permuted graph, a control."""
  c = inputs.config.automata
  rng = np.random.default_rng([inputs.config.seed, 1])
  group_F = np.where(inputs.main.live_F, 0, -1)
  source_M = machines.shuffled(edges.source_M, group_F, rng)
  own_M = edges.gain_M > c.threshold
  pairs = zip(source_M[own_M], edges.target_M[own_M], strict=True)
  return [(int(i), int(j)) for i, j in pairs]


def players(plays_RF: np.ndarray) -> dict[str, list[np.ndarray]]:
  """Returns the features with the role of each state of the paper's systems."""
  roles_of = list(roles.ROLES)
  return {
    name: [np.flatnonzero(plays_RF[roles_of.index(r)]) for r in states]
    for name, states in roles.SYSTEMS.items()
  }


def named(
  plays: dict[str, list[np.ndarray]],
  weights: dict[Edge, float],
  judged: Sequence[Judged],
  c: settings.Automata,
) -> list[Named]:
  """Finds the best machine of each of the paper's systems, or why none.

  The machines are `Judged`.

  Args:
    plays: see `players`.
    weights: weights of all edges between features with roles.
    judged: the machines found.
    c: the settings.
  """
  known = {m.nodes: m for m in judged if m.closes}
  found = []
  for name, states in roles.SYSTEMS.items():
    best, machine, why = roles.widest(plays[name], weights), None, ''
    lacking = [
      r for r, own in zip(states, plays[name], strict=True) if not own.size
    ]
    if lacking:
      why = f'no live feature fires mostly on the tokens of: {lacking[0]}'
    elif isinstance(best, int):
      follows = (*states, states[0])
      why = (
        f'no feature of {follows[best - 1]} makes one of {follows[best]} '
        'likelier than it is anyway'
      )
    else:
      nodes, own = best
      first = nodes.index(min(nodes))
      m = known.get(nodes[first:] + nodes[:first])
      machine = Judged(
        'two-cycle' if len(nodes) == 2 else 'cycle',
        nodes,
        own,
        *((None,) * 4 if m is None else (m.p, m.q, m.expected, m.q_within)),
      )
      if min(own) <= c.threshold:
        why = f'its weakest edge, {min(own):.3f}, is not above {c.threshold:g}'
      elif machine.q is None:
        why = 'the search did not find it: it goes along the strongest edges'
      elif machine.q > c.q:
        why = f'chance makes such, too: q is {machine.q:.2g}, above {c.q:g}'
    found.append(
      Named(
        name=name,
        states=list(states),
        candidates=[int(own.size) for own in plays[name]],
        machine=machine,
        survives=not why,
        not_found=why,
      )
    )
  return found
