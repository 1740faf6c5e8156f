"""Whether another model has the same features (universality)."""

import dataclasses
from typing import Annotated

from monosem_jax.analysis.results.numbers import (
  BySet,
  Inline,
  Interval,
  Key,
  Numbers,
)


@dataclasses.dataclass(frozen=True)
class SetUniversality:
  """How well a set's live features correlate with the other model's.

  Attributes:
    universality_r: median correlation with the nearest feature.
    universality_interval: interval of the median, over features.
    universality_n: number of features.
  """

  universality_r: float | None
  universality_interval: Interval
  universality_n: int


@dataclasses.dataclass(frozen=True)
class SetMedians:
  """Medians over a set of features and their nearest in another model.

  Attributes:
    n: features that have a nearest feature.
    without: features that have none.
    median_found: correlation of activations on the half that was searched.
    median_activation: correlation of activations on the other half.
    interval_activation: interval of this median.
    median_logits: correlation of logit weights over the vocabulary.
    interval_logits: interval of this median.
    median_attribution: correlation of attributions on the other half.
    interval_attribution: interval of this median.
    alike: pairs that are similar in activation.
    alike_but_apart: pairs among these whose logit weights differ.
  """

  n: int
  without: int
  median_found: float | None
  median_activation: float | None
  interval_activation: Interval
  median_logits: float | None
  interval_logits: Interval
  median_attribution: float | None
  interval_attribution: Interval
  alike: int
  alike_but_apart: int


@dataclasses.dataclass(frozen=True)
class AlikePair:
  """A feature, its match, and their similarities, see `arrays.Pairs`.

  Attributes:
    feature: name of the feature.
    match: name of the other model's feature.
    density: density of the feature.
    found: correlation of activations on the half that was searched.
    activation: correlation of activations on the other half.
    logits: correlation of logit weights.
    attribution: correlation of attributions on the other half.
  """

  feature: str
  match: str
  density: float
  found: float | None
  activation: float | None
  logits: float | None
  attribution: float | None


@dataclasses.dataclass(frozen=True)
class Listed:
  """The most similar pairs, and pairs similar in activation only.

  Attributes:
    median_activation: median correlation of activations.
    median_logits: median correlation of logit weights.
    median_attribution: median correlation of attributions.
    nearest: the most similar pairs.
    alike_above: activations are similar above this correlation.
    apart_below: logit weights differ below this correlation.
    outliers: pairs with similar activations and different logit weights.
    attribution_follows_activation: correlation over pairs of the similarity in
      attribution with that in activation.
    logits_follow_activation: correlation over pairs of the similarity in logit
      weights with that in activation.
  """

  median_activation: float | None
  median_logits: float | None
  median_attribution: float | None
  nearest: list[AlikePair]
  alike_above: float
  apart_below: float
  outliers: list[AlikePair]
  attribution_follows_activation: float | None
  logits_follow_activation: float | None


@dataclasses.dataclass(frozen=True)
class Comparison:
  """A set's features compared with another set's.

  Attributes:
    name: the set whose features are compared.
    other: the set that they are compared with.
    median: median correlation of live features with their nearest.
    interval: interval of the median.
    count: number of live features.
    paper: the published median; None if there is none.
    sets: medians over `live` features and over features that are `firing`.
    listed: single pairs; None for sets other than the main dictionary.
  """

  name: Annotated[str, Key('of')]
  other: Annotated[str, Key('with')]
  median: float | None
  interval: Interval
  count: int
  paper: float | None
  sets: dict[str, SetMedians]
  listed: Inline[Listed | None]


@dataclasses.dataclass(frozen=True)
class Universality(Numbers):
  """The results of the analysis universality.

  Attributes:
    sets: universality of each set that the other model has as well.
    pairs: the comparisons, by kind: `features`, `neurons`, ...
    interval_unit: what the intervals are over.
    found_tokens: tokens of the half that was searched.
    tokens: tokens of the other half.
  """

  sets: BySet[SetUniversality]
  pairs: dict[str, Comparison]
  interval_unit: str
  found_tokens: int
  tokens: int
