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
  """The median correlation of a set's n live features with their nearest."""

  universality_r: float | None
  universality_interval: Interval
  universality_n: int


@dataclasses.dataclass(frozen=True)
class SetMedians:
  """Medians over a set of features and their nearest of another model.

  Attributes:
    n: features that have one; `without`: that have none.
    median_found: correlation on the half where it was looked for.
    median_activation, median_logits, median_attribution: on the other half.
    alike: pairs alike in activation; `alike_but_apart`: not in logit weights.
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
  """A feature, its match, and their similarities, see `arrays.Pairs`."""

  feature: str
  match: str
  density: float
  found: float | None
  activation: float | None
  logits: float | None
  attribution: float | None


@dataclasses.dataclass(frozen=True)
class Listed:
  """The pairs most alike, and those alike in activation alone.

  Attributes:
    nearest: pairs most alike.
    outliers: pairs alike in activation, above `alike_above`, whose logit
      weights are not, below `apart_below`.
    attribution_follows_activation, logits_follow_activation: correlations of
      the similarities over pairs.
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
  """The features of a set beside their nearest of another set.

  Attributes:
    name, other: what is compared with what.
    median, interval, count: of the live features' correlations.
    paper: the published median; None where there is none.
    sets: of the `live` features and of those `firing`.
    listed: of the main dictionary alone.
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
  """What the analysis universality found.

  Attributes:
    sets: those compared with the same of the other model.
    pairs: by what is compared: `features`, `neurons`, ...
    found_tokens, tokens: where the nearest were found, and measured.
  """

  sets: BySet[SetUniversality]
  pairs: dict[str, Comparison]
  interval_unit: str
  found_tokens: int
  tokens: int
