"""How features lie to others (universality, splitting, geometry)."""

import dataclasses

from monosem_jax.analysis.results.features import Words
from monosem_jax.analysis.results.numbers import (
  Interval,
  Numbers,
  inline,
  key,
)


@dataclasses.dataclass(frozen=True)
class RunUniversality:
  """The median correlation of a run's n live features with their nearest."""

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
  """A run's features beside their nearest of another.

  Attributes:
    run, other: what is compared with what.
    median, interval, count: of the live features' correlations.
    paper: the published median; None where there is none.
    sets: of the `live` features and of those `firing`.
    listed: of the main dictionary alone.
  """

  run: str = key('of')
  other: str = key('with')
  median: float | None
  interval: Interval
  count: int
  paper: float | None
  sets: dict[str, SetMedians]
  listed: Listed | None = inline()


@dataclasses.dataclass(frozen=True)
class Universality(Numbers):
  """What the analysis universality found.

  Attributes:
    runs: those compared with the same of the other model.
    pairs: by what is compared: `features`, `neurons`, ...
    found_tokens, tokens: where the nearest were found, and measured.
  """

  runs: dict[str, RunUniversality]
  pairs: dict[str, Comparison]
  interval_unit: str
  found_tokens: int
  tokens: int


@dataclasses.dataclass(frozen=True)
class Summary:
  """How the features of a dictionary relate to those of a larger one.

  Attributes:
    splits: features with more than one edge to the larger one.
    one_to_one: with one edge, to a feature that has no other.
    merges: features of the larger one with more than one edge.
    without: features that no edge leaves.
    new: features of the larger one that no edge enters.
  """

  splits: int
  one_to_one: int
  merges: int
  without: int
  new: int


@dataclasses.dataclass(frozen=True)
class Step:
  """From a dictionary to the next larger one."""

  source: str = key('from')
  target: str = key('to')
  counts: Summary = inline()


@dataclasses.dataclass(frozen=True)
class Beside:
  """A count of children and those of n null starts, see `splitting.beside`."""

  count: int
  mean: float | None
  interval: Interval
  max: int | None
  n: int
  p: float | None


@dataclasses.dataclass(frozen=True)
class Nulls:
  """Starts as dense as one: how many, and the least and largest density.

  Attributes:
    counts: by run and filter.
  """

  starts: int
  densities: list[float]
  counts: dict[str, dict[str, Beside]]


@dataclasses.dataclass(frozen=True)
class ToLabel:
  """Shares of a feature and a label, see `splitting.Shares`."""

  on_label: float | None
  pure: float | None
  finds: float | None


@dataclasses.dataclass(frozen=True)
class Reached:
  """A feature that a start leads to.

  Attributes:
    child: passes all filters.
    under_parent: share of its activation where the start fires.
    to_label: None where the start is of no label.
  """

  feature: str
  child: bool
  density: float
  held_out_firings: int
  under_parent: float | None
  to_label: ToLabel | None = inline()
  words: Words = inline()


@dataclasses.dataclass(frozen=True)
class LabelFit:
  """Correlation of a start with its label, and where it was found."""

  correlation: float | None
  correlation_found: float | None


@dataclasses.dataclass(frozen=True)
class Start:
  """A feature of the smallest dictionary, and what it leads to.

  Attributes:
    fit: None where it was not chosen by a label.
    start: its name.
    reached, children: by run, features it leads to, before and after all
      filters; `children_found`: on the half where it was chosen.
    counts: by run and filter.
    features: by run, some of those reached.
  """

  fit: LabelFit | None = inline()
  start: str
  density: float
  reached: dict[str, int]
  counts: dict[str, dict[str, int]]
  children: dict[str, int]
  children_found: dict[str, int]
  null: Nulls
  features: dict[str, list[Reached]]


@dataclasses.dataclass(frozen=True)
class Absent:
  """In place of a start: why the corpus lacks its label."""

  absent: str


@dataclasses.dataclass(frozen=True)
class Splitting(Numbers):
  """What the analysis splitting found.

  Attributes:
    dictionaries: from small to large.
    threshold: of masked cosines; `floor` and `purity`: of the filters.
    components: of the graph of all dictionaries; `largest`: their sizes.
    base64: the paper's example.
    most: starts of most children.
  """

  dictionaries: list[str]
  threshold: float
  tokens: int
  steps: list[Step]
  components: int
  largest: list[int]
  floor: float
  purity: float
  half_tokens: list[int]
  held_out_tokens: int
  base64: Start | Absent
  most: list[Start]
