"""The geometry of decoder rows: maps, clusters, nearness (geometry)."""

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
  """Mean and standard deviation over random draws.

  Attributes:
    draws: number of draws.
    mean: None for fewer than two draws.
    sd: None for fewer than two draws.
  """

  draws: int
  mean: float | None
  sd: float | None


@dataclasses.dataclass(frozen=True)
class Trust:
  """The trustworthiness of a layout.

  Attributes:
    features: features in the sample that was measured.
    neighbours: neighbours of each feature that count.
    value: mean trustworthiness.
    interval: interval of the mean, over features.
    random_layout: trustworthiness of the same positions, shuffled.
  """

  features: int
  neighbours: int
  value: float
  interval: Interval
  random_layout: Spread


@dataclasses.dataclass(frozen=True)
class Cluster:
  """A cluster of features.

  Attributes:
    features: number of features in it.
    medoid: name of the feature nearest to all others in it.
    words: the medoid in words.
  """

  features: int
  medoid: str
  words: Inline[Words]


@dataclasses.dataclass(frozen=True)
class SetClumping:
  """How near the decoder rows of a set's live features lie to each other.

  Attributes:
    clumping_nearest: mean cosine with the nearest other row.
    clumping_nearest_interval: interval of this mean, over features.
    clumping_nearest_random: the same mean for as many random directions.
    clumping_features: number of features.
  """

  clumping_nearest: float
  clumping_nearest_interval: Interval
  clumping_nearest_random: float
  clumping_features: int


@dataclasses.dataclass(frozen=True)
class Agreement:
  """Whether features whose rows are near fire alike.

  Attributes:
    spearman: rank correlation of the cosine of two rows with the correlation of
      the two features' activations; None if one of them does not vary.
    spearman_interval: its interval, over features.
    overlap: share of a feature's nearest neighbours that are also its most
      correlated ones, mean over features.
    overlap_interval: interval of this mean.
    neighbours: number of neighbours of each feature.
  """

  spearman: float | None
  spearman_interval: Interval
  overlap: float
  overlap_interval: Interval
  neighbours: int


@dataclasses.dataclass(frozen=True)
class RandomRows:
  """`Agreement` with random rows in place of the dictionary's.

  Attributes:
    spearman: rank correlation, over draws of random rows.
    overlap: overlap, over draws of random rows.
    overlap_by_chance: expected overlap of unrelated neighbours.
  """

  spearman: Spread
  overlap: Spread
  overlap_by_chance: float


@dataclasses.dataclass(frozen=True)
class RandomDictionary:
  """`Agreement` for a dictionary of random directions.

  Attributes:
    run: the run of the random directions.
    features: features that were compared.
    found: the agreement.
  """

  name: Annotated[str, Key('of')]
  features: int
  found: Inline[Agreement]


@dataclasses.dataclass(frozen=True)
class Agreements:
  """Whether features whose rows are near fire alike, beside two controls.

  Attributes:
    run: the run of the features.
    features: live features that were compared.
    tokens: tokens that correlations of activations are over.
    found: the agreement of the run itself.
    random_rows: control whose rows are random.
    random_dictionary: control whose features are random directions.
  """

  name: Annotated[str, Key('of')]
  features: int
  tokens: int
  found: Inline[Agreement]
  random_rows: RandomRows
  random_dictionary: RandomDictionary | Reason


@dataclasses.dataclass(frozen=True)
class Geometry(Numbers):
  """The results of the analysis geometry.

  Attributes:
    layouts: the sets whose features are laid out, by layout.
    trustworthiness: the trustworthiness of each layout.
    clusters: the largest clusters.
    unclustered: number of features without a cluster.
    sets: how near live features lie to each other, by set.
    interval_unit: what the intervals are over.
    agreement: whether features that are near fire alike.
  """

  layouts: dict[str, list[str]]
  trustworthiness: dict[str, Trust]
  clusters: list[Cluster]
  unclustered: int
  sets: BySet[SetClumping]
  interval_unit: str
  agreement: Agreements
