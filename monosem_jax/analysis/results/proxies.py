"""The best feature for each proxy and subset, against neurons (proxies)."""

import dataclasses

from monosem_jax.analysis.results.features import Words
from monosem_jax.analysis.results.numbers import (
  BySet,
  Inline,
  Interval,
  Numbers,
  Reason,
)


@dataclasses.dataclass(frozen=True)
class Best:
  """The feature most correlated with a label on one half of the tokens.

  Attributes:
    index: of the feature.
    found: Pearson's r on the half where it was looked for.
    reported: on the other half.
  """

  index: int
  found: float | None
  reported: float | None


@dataclasses.dataclass(frozen=True)
class SetBests:
  """The best of a set for each proxy and subset, None where there is none."""

  proxies: dict[str, Best | None]
  subsets: dict[str, Best | None]


@dataclasses.dataclass(frozen=True)
class Overlap:
  """Where a proxy and a feature are both on, on the half it is told of.

  Attributes:
    feature: its name.
    tokens: of that half.
    base_rate: share of tokens with the proxy on.
    edges: where the intervals of activation begin.
    on, off: tokens with the proxy on and off, silent ones first, by interval.
    mass_on, mass_off: shares of the activation, by interval.
    specificity: share of tokens with the proxy on, by interval.
    r: Pearson's correlation.
    sensitivity: share of the proxy's tokens on which it fires.
    activation_on: share of its activation on these.
    average_precision, f1: as a classifier; f1 above `f1_threshold`, which is
      found on the first half.
  """

  feature: str
  tokens: int
  base_rate: float
  edges: list[float]
  on: list[float]
  off: list[float]
  mass_on: list[float | None]
  mass_off: list[float | None]
  specificity: list[float | None]
  r: float | None
  r_interval: Interval
  sensitivity: float | None
  sensitivity_interval: Interval
  activation_on: float | None
  activation_on_interval: Interval
  average_precision: float | None
  average_precision_interval: Interval
  f1: float | None
  f1_interval: Interval
  f1_threshold: float


@dataclasses.dataclass(frozen=True)
class Twin:
  """The feature of the match that correlates most, and how much."""

  feature: str
  r: float | None


@dataclasses.dataclass(frozen=True)
class Companion:
  """Another feature that goes with a proxy; r: on the half it is told of."""

  feature: str
  r: float | None
  words: Inline[Words]


@dataclasses.dataclass(frozen=True)
class Dive:
  """The feature of a proxy, and the neuron that is nearest.

  Attributes:
    feature: its name; `r` with the proxy, and `r_where_found`.
    neuron, neuron_r: the same of the best neuron; None where there is none.
    base_rate: share of tokens with the proxy on.
    density, max: of the feature.
    predicted_on: of the `predicted` tokens it predicts most, on by themselves.
    coefficients: largest entries of its decoder row, by neuron.
    twin: None without a match.
    overlap: by name of the set, of the feature and of the neuron.
  """

  feature: str
  r: float | None
  r_where_found: float | None
  neuron: str | None
  neuron_r: float | None
  base_rate: float
  density: float
  max: float
  words: Inline[Words]
  predicted_on: int
  predicted: int
  coefficients: dict[str, float]
  twin: Twin | None
  companions: list[Companion]
  overlap: dict[str, Overlap]


@dataclasses.dataclass(frozen=True)
class Found:
  """The best feature by a measure.

  Attributes:
    feature: its name.
    found: the measure where it was looked for.
    reported: on the other half.
  """

  feature: str
  found: float
  reported: float | None
  interval: Interval


@dataclasses.dataclass(frozen=True)
class Difference:
  """How much more of a measure the feature has than the neuron."""

  difference: float | None
  difference_interval: Interval


@dataclasses.dataclass(frozen=True)
class BestNeuron:
  """The best neuron by a measure, and the difference if there are both."""

  neuron: Found | None
  apart: Inline[Difference | None]


@dataclasses.dataclass(frozen=True)
class Sides:
  """The best feature by a measure.

  Attributes:
    feature: None where none goes with the label.
    beside: None where neurons are not among the controls.
  """

  feature: Found | None
  beside: Inline[BestNeuron | None]

  @property
  def neuron(self) -> Found | None:
    return None if self.beside is None else self.beside.neuron

  @property
  def apart(self) -> Difference | None:
    return None if self.beside is None else self.beside.apart


@dataclasses.dataclass(frozen=True)
class Versus:
  """The best feature for a label, and the best neuron, by measure.

  Attributes:
    base_rate: share of the tokens that have the label.
    tokens: how many have it.
    chance: by measure, what a feature has that says nothing.
  """

  base_rate: float
  tokens: int
  chance: dict[str, float]
  measures: dict[str, Sides]


@dataclasses.dataclass(frozen=True)
class Wins:
  """For how many labels the best feature is above the best neuron.

  Attributes:
    n: labels that both say something of.
    above: for how many the feature has more, `names` which.
    clearly_above, clearly_below: the interval of the difference leaves out 0.
    mean_difference: over the labels, with its interval.
  """

  n: int
  above: int
  clearly_above: int
  clearly_below: int
  names: list[str]
  mean_difference: float | None
  interval: Interval


@dataclasses.dataclass(frozen=True)
class Proxies(Numbers):
  """What the analysis proxies found.

  Attributes:
    sets: by name: A/1.
    dives: by proxy, those that a feature of the main dictionary goes with.
    absent: proxies that the corpus lacks, and why.
    versus: by kind (proxies, subsets) and label.
    wins: by kind and measure.
    tokens: of both halves; `half_tokens`: where features were looked for, and
      what is told is of.
    unit: what intervals are over.
    overlook_space: see `settings.Proxies`.
  """

  sets: BySet[SetBests]
  dives: dict[str, Dive]
  absent: dict[str, str]
  versus: dict[str, dict[str, Versus | Reason]]
  wins: dict[str, Reason | dict[str, Wins]]
  tokens: int
  half_tokens: list[int]
  unit: str
  overlook_space: bool
