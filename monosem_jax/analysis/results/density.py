"""How many features are live, and how densely features fire (density)."""

import dataclasses

from monosem_jax.analysis.results.numbers import (
  BySet,
  Inline,
  Interval,
  Numbers,
)


@dataclasses.dataclass(frozen=True)
class Modes:
  """The two modes of the features that fired, see `census.Modes`.

  Attributes:
    separation: distance of the modes in standard deviations within them.
    weights: weights of log10 density and of the cosine, both standardized, on
      the line that separates the modes.
    low_density: mean log10 density of the lower mode.
    high_density: mean log10 density of the upper mode.
    low_cosine: mean cosine of encoder and decoder row in the lower mode; None
      without cosines.
    high_cosine: the same in the upper mode.
    low_features: number of features in the lower mode.
  """

  separation: float
  weights: tuple[float, float]
  low_density: float
  high_density: float
  low_cosine: float | None
  high_cosine: float | None
  low_features: int


@dataclasses.dataclass(frozen=True)
class Census:
  """The classes and densities of a set of features, see `census.numbers`.

  Attributes:
    tokens: size of the sample.
    features: number of features in the set.
    dead: features that never fired.
    rare: features that fired on too few tokens to be classified further.
    low_mode: features in the lower of two modes.
    live: all other features.
    ultralow: ultralow-density features; None if the sample is too small.
    ultralow_reason: why `ultralow` is None; otherwise ''.
    above_1_percent: live features with a density above 1%.
    median_density: median density of live features; None without any.
    l0: mean number of active features per token.
    histogram: counts of log10 density in the bins of `census.EDGES`.
    modes: the two modes; None with fewer than three different densities.
  """

  tokens: int
  features: int
  dead: int
  rare: int
  low_mode: int
  live: int
  ultralow: int | None
  ultralow_reason: str
  above_1_percent: int
  median_density: float | None
  l0: float
  histogram: list[int]
  modes: Modes | None


@dataclasses.dataclass(frozen=True)
class SetDensity:
  """The census of a set, with an interval for its median density.

  Attributes:
    census: the counts; their keys stand beside the interval in the file.
    median_density_interval: bootstrap interval over live features.
  """

  census: Inline[Census]
  median_density_interval: Interval


@dataclasses.dataclass(frozen=True)
class Snapshot:
  """The census of a dictionary at one step of its training.

  Attributes:
    step: number of training steps.
    census: the counts; their keys stand beside `step` in the file.
  """

  step: int
  census: Inline[Census]


@dataclasses.dataclass(frozen=True)
class Density(Numbers):
  """The results of the analysis density.

  Attributes:
    sets: the census of each set.
    history: the snapshots of each dictionary, in order.
  """

  sets: BySet[SetDensity]
  history: dict[str, list[Snapshot]]
