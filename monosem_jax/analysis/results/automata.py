"""Features that lead to each other in turn (automata)."""

import dataclasses
from typing import Any

from monosem_jax.analysis.results.numbers import Numbers


@dataclasses.dataclass(frozen=True)
class FamilyCount:
  """Machines of a kind and size, beside those of permuted rows.

  Attributes:
    kind: see `machine_tests.KINDS`.
    features: of each machine; 0: any number.
    found: how many were.
    null_X: of rows permuted among live features.
    within_X: of rows permuted among features of one label.
    surviving: beside the first; `surviving_within`: beside both.
  """

  kind: str
  features: int
  found: int
  null_mean: float
  null_sd: float | None
  null_min: int
  null_max: int
  within_mean: float
  within_sd: float | None
  within_min: int
  within_max: int
  surviving: int
  surviving_within: int


@dataclasses.dataclass(frozen=True)
class Followed:
  """What held-out text says of edges.

  Attributes:
    seen: edges whose source fires; `rising`: whose target then fires more often
      than it does anyway.
  """

  edges: int
  seen: int
  rising: int
  median_observed: float | None
  median_base: float | None
  median_rise: float | None


@dataclasses.dataclass(frozen=True)
class Named:
  """A system that the paper names.

  Attributes:
    states: the roles of its features.
    candidates: how many features play each.
    machine: the best of it, as `Automata.machines`; None where there is none.
    not_found: why it does not survive; otherwise ''.
  """

  name: str
  states: list[str]
  candidates: list[int]
  machine: Any
  survives: bool
  not_found: str


@dataclasses.dataclass(frozen=True)
class Automata(Numbers):
  """What the analysis automata found.

  Attributes:
    edges, edges_above_threshold: predicted.
    complete_above: weight above which the search missed no machine.
    live: features of the main dictionary.
    q: the false discovery rate.
    count, surviving, surviving_within, ordered: machines, by kind.
    null: by kind and size.
    transitions: edges that are `predicted`, and those of `permuted` rows.
    machines: those listed, plain JSON: only the page and the Markdown page show
      what is in them, whole.
    named: the systems that the paper names.
  """

  edges: int
  edges_above_threshold: int
  threshold: float
  complete_above: float
  live: int
  q: float
  permutations: int
  count: dict[str, int]
  surviving: dict[str, int]
  surviving_within: dict[str, int]
  ordered: dict[str, int]
  null: list[FamilyCount]
  transitions: dict[str, Followed]
  machines: list[Any]
  named: list[Named]
  tokens: int
  held_out_tokens: int
  held_out_groups: int
