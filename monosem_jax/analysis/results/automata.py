"""Features that lead to each other in turn (automata)."""

import dataclasses
from typing import Any

from monosem_jax.analysis.results.numbers import Numbers


@dataclasses.dataclass(frozen=True)
class FamilyCount:
  """Counts of machines of one kind and size, in the graph and by chance.

  Chance is measured in graphs whose rows of logit weights are permuted, either
  among all live features ("null") or among features of the same label
  ("within").

  Attributes:
    kind: one of `machine_tests.KINDS`.
    features: number of features in each machine; 0 stands for all other
      numbers.
    found: machines in the graph itself.
    null_mean: mean number of machines per permutation among live features.
    null_sd: its standard deviation; None for a single permutation.
    null_min: the smallest number in any permutation.
    null_max: the largest number in any permutation.
    within_mean: mean number per permutation among features of one label.
    within_sd: its standard deviation; None for a single permutation.
    within_min: the smallest number in any permutation.
    within_max: the largest number in any permutation.
    surviving: machines that are significant against the null.
    surviving_within: machines that are significant against both.
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
  """How often edges are followed in held-out text.

  Attributes:
    edges: number of edges.
    seen: edges whose source fires in the text.
    rising: edges whose target fires significantly more often after the source
      than overall.
    median_observed: median probability that the target follows the source.
    median_base: median share of all tokens on which the target fires.
    median_rise: median difference of the two.
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
    name: the name of the system.
    states: the roles of its features, in order.
    candidates: number of features that play each role.
    machine: the strongest machine that plays the roles, in the form of
      `Automata.machines`; None if there is none.
    survives: whether that machine is significant.
    not_found: why it is not; '' if it is.
  """

  name: str
  states: list[str]
  candidates: list[int]
  machine: Any
  survives: bool
  not_found: str


@dataclasses.dataclass(frozen=True)
class Automata(Numbers):
  """The results of the analysis automata.

  Attributes:
    edges: number of predicted edges.
    edges_above_threshold: number of edges with a gain above `threshold`.
    threshold: the smallest gain that counts.
    complete_above: weight above which the search missed no machine.
    live: live features of the main dictionary.
    q: the false discovery rate.
    permutations: number of permutations of each kind.
    count: machines found, by kind.
    surviving: machines that are significant against the null, by kind.
    surviving_within: machines that are significant against both, by kind.
    ordered: machines whose order was confirmed in held-out text, by kind.
    null: counts beside chance, by kind and size.
    transitions: the edges that were `predicted`, and those of `permuted` rows.
    machines: the machines listed. They stay plain JSON, since the pages show
      them as they are and nothing else reads them.
    named: the systems that the paper names.
    tokens: tokens on which edges were estimated.
    held_out_tokens: tokens of held-out text.
    held_out_groups: groups of documents of the held-out text.
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
