"""The best feature for each proxy and subset, beside neurons (proxies)."""

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
  """The feature most correlated with a label on one half of the documents.

  Attributes:
    index: index of the feature.
    found: Pearson correlation on the half that was searched.
    reported: Pearson correlation on the other half.
  """

  index: int
  found: float | None
  reported: float | None


@dataclasses.dataclass(frozen=True)
class SetBests:
  """The best features of a set; None for labels without a correlated feature.

  Attributes:
    proxies: the best feature for each proxy.
    subsets: the best feature for each subset of the corpus.
  """

  proxies: dict[str, Best | None]
  subsets: dict[str, Best | None]


@dataclasses.dataclass(frozen=True)
class Overlap:
  """How a proxy and a feature overlap, on the half that was not searched.

  In lists by bin, bin 0 holds the tokens on which the feature is silent, and
  each further bin holds the tokens in one interval of activation.

  Attributes:
    feature: name of the feature.
    tokens: number of tokens.
    base_rate: share of tokens with the proxy on.
    edges: lower edges of the intervals of activation.
    on: tokens with the proxy on, by bin.
    off: tokens with the proxy off, by bin.
    mass_on: share of the activation on tokens with the proxy on, by bin.
    mass_off: share of the activation on tokens with the proxy off, by bin.
    specificity: share of tokens with the proxy on, by bin.
    r: Pearson correlation.
    r_interval: interval of r.
    sensitivity: share of the proxy's tokens on which the feature fires.
    sensitivity_interval: interval of the sensitivity.
    activation_on: share of the feature's activation on the proxy's tokens.
    activation_on_interval: interval of this share.
    average_precision: average precision of the feature as a classifier.
    average_precision_interval: interval of the average precision.
    f1: F1 of "the activation is above `f1_threshold`".
    f1_interval: interval of F1.
    f1_threshold: the threshold, chosen on the half that was searched.
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
  """The other model's feature that correlates most with a feature.

  Attributes:
    feature: name of the other model's feature.
    r: correlation on the half that was not searched.
  """

  feature: str
  r: float | None


@dataclasses.dataclass(frozen=True)
class Companion:
  """Another feature that correlates with a proxy.

  Attributes:
    feature: name of the feature.
    r: correlation with the proxy on the half that was not searched.
    words: the feature in words.
  """

  feature: str
  r: float | None
  words: Inline[Words]


@dataclasses.dataclass(frozen=True)
class Dive:
  """The best feature for a proxy, beside the best neuron.

  Attributes:
    feature: name of the feature.
    r: correlation with the proxy on the half that was not searched.
    r_where_found: correlation on the half that was searched.
    neuron: name of the best neuron; None if there is none.
    neuron_r: its correlation with the proxy.
    base_rate: share of tokens with the proxy on.
    density: density of the feature.
    max: maximum activation of the feature.
    words: the feature in words.
    predicted_on: how many of the tokens that the feature predicts most have the
      proxy on when scored alone.
    predicted: number of these tokens.
    coefficients: largest entries of its decoder row, by neuron.
    twin: the nearest feature of the other model; None without such a model.
    companions: other features that correlate with the proxy.
    overlap: overlap with the proxy, by set: of the feature and of the neuron.
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
    feature: name of the feature.
    found: the measure on the half that was searched.
    reported: the measure on the other half.
    interval: interval of `reported`.
  """

  feature: str
  found: float
  reported: float | None
  interval: Interval


@dataclasses.dataclass(frozen=True)
class Difference:
  """The difference of a measure between the best feature and the best neuron.

  Attributes:
    difference: feature minus neuron.
    difference_interval: interval of the difference.
  """

  difference: float | None
  difference_interval: Interval


@dataclasses.dataclass(frozen=True)
class BestNeuron:
  """The best neuron by a measure.

  Attributes:
    neuron: None if no neuron correlates with the label.
    apart: difference from the best feature; None if either is missing.
  """

  neuron: Found | None
  apart: Inline[Difference | None]


@dataclasses.dataclass(frozen=True)
class Sides:
  """The best feature and the best neuron by one measure.

  Attributes:
    feature: None if no feature correlates with the label.
    beside: the best neuron; None if neurons are not among the controls.
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
  """The best feature and the best neuron for a label, by each measure.

  Attributes:
    base_rate: share of tokens with the label.
    tokens: number of tokens with the label.
    chance: value of each measure for an uninformative feature.
    measures: the best feature and neuron by each measure.
  """

  base_rate: float
  tokens: int
  chance: dict[str, float]
  measures: dict[str, Sides]


@dataclasses.dataclass(frozen=True)
class Wins:
  """For how many labels the best feature beats the best neuron.

  Attributes:
    n: labels that have a best feature and a best neuron.
    above: labels for which the feature has the higher measure.
    clearly_above: labels for which the whole interval of the difference is
      above 0.
    clearly_below: labels for which the whole interval is below 0.
    names: the labels counted in `above`.
    mean_difference: mean difference over labels.
    interval: interval of the mean difference.
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
  """The results of the analysis proxies.

  Attributes:
    sets: the best features of each set.
    dives: the main dictionary's best feature for each proxy that has one.
    absent: proxies that do not occur in the corpus, and why.
    versus: feature against neuron, by kind (proxies, subsets) and label.
    wins: counts of wins, by kind and measure.
    tokens: number of tokens in both halves.
    half_tokens: tokens of the half that was searched, and of the other half.
    unit: what the intervals are over.
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
