"""How decoder rows lie to one another (geometry)."""

import dataclasses
from typing import Annotated

from monosem_jax.analysis.results.features import Words
from monosem_jax.analysis.results.numbers import (
  BySet,
  Inline,
  Interval,
  Key,
  Numbers,
  Reason,
)


@dataclasses.dataclass(frozen=True)
class Spread:
  """Mean and standard deviation of draws; None of fewer than two."""

  draws: int
  mean: float | None
  sd: float | None


@dataclasses.dataclass(frozen=True)
class Trust:
  """The trustworthiness of a layout, of so many features and neighbours.

  Attributes:
    random_layout: of the same positions, shuffled.
  """

  features: int
  neighbours: int
  value: float
  interval: Interval
  random_layout: Spread


@dataclasses.dataclass(frozen=True)
class Cluster:
  """A cluster of so many features, and its medoid."""

  features: int
  medoid: str
  words: Inline[Words]


@dataclasses.dataclass(frozen=True)
class SetClumping:
  """The mean cosine with the nearest row, and of random rows."""

  clumping_nearest: float
  clumping_nearest_interval: Interval
  clumping_nearest_random: float
  clumping_features: int


@dataclasses.dataclass(frozen=True)
class Agreement:
  """Whether rows that are near fire alike.

  Attributes:
    spearman: of cosines with correlations of activations; None where they do
      not vary.
    overlap: share of the nearest `neighbours` that are most correlated.
  """

  spearman: float | None
  spearman_interval: Interval
  overlap: float
  overlap_interval: Interval
  neighbours: int


@dataclasses.dataclass(frozen=True)
class RandomRows:
  """The same with random rows in place of a dictionary's."""

  spearman: Spread
  overlap: Spread
  overlap_by_chance: float


@dataclasses.dataclass(frozen=True)
class RandomDictionary:
  """The same of so many features of a random dictionary."""

  name: Annotated[str, Key('of')]
  features: int
  found: Inline[Agreement]


@dataclasses.dataclass(frozen=True)
class Agreements:
  """Whether rows that are near fire alike, beside two controls."""

  name: Annotated[str, Key('of')]
  features: int
  tokens: int
  found: Inline[Agreement]
  random_rows: RandomRows
  random_dictionary: RandomDictionary | Reason


@dataclasses.dataclass(frozen=True)
class Geometry(Numbers):
  """What the analysis geometry found.

  Attributes:
    layouts: by name of the layout, the sets whose features are laid out.
    trustworthiness: by layout.
    clusters: the largest; `unclustered`: features of none.
    sets: by name, of the live features.
  """

  layouts: dict[str, list[str]]
  trustworthiness: dict[str, Trust]
  clusters: list[Cluster]
  unclustered: int
  sets: BySet[SetClumping]
  interval_unit: str
  agreement: Agreements
