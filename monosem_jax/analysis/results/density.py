"""How many features live, and how densely features fire (density)."""

import dataclasses

from monosem_jax.analysis.results.numbers import (
  BySet,
  Inline,
  Interval,
  Numbers,
)


@dataclasses.dataclass(frozen=True)
class Modes:
  """The two modes of the features that fired, see `census.Modes`."""

  separation: float
  weights: tuple[float, float]
  low_density: float
  high_density: float
  low_cosine: float | None
  high_cosine: float | None
  low_features: int


@dataclasses.dataclass(frozen=True)
class Census:
  """The features of a set by what they are, see `census.numbers`.

  Attributes:
    tokens: on which they were looked at.
    features: how many there are; by class `dead`, `rare`, `low_mode`, `live`.
    ultralow: None where there are too few tokens to tell, see
      `ultralow_reason`.
    above_1_percent: live features of a density above 1%.
    median_density: of the live.
    l0: active features of a token.
    histogram: of log10 density, in `census.EDGES`.
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
  """The census of a set, with the interval of its median density."""

  census: Inline[Census]
  median_density_interval: Interval


@dataclasses.dataclass(frozen=True)
class Snapshot:
  """The census of a dictionary at a step of its training."""

  step: int
  census: Inline[Census]


@dataclasses.dataclass(frozen=True)
class Density(Numbers):
  """What the analysis density found.

  Attributes:
    sets: by name: A/1.
    history: by dictionary, its snapshots in order.
  """

  sets: BySet[SetDensity]
  history: dict[str, list[Snapshot]]
