"""What features become in larger dictionaries (splitting)."""

import dataclasses
from typing import Annotated

from monosem_jax.analysis.results.features import Words
from monosem_jax.analysis.results.numbers import Inline, Interval, Key, Numbers


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

  source: Annotated[str, Key('from')]
  target: Annotated[str, Key('to')]
  counts: Inline[Summary]


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
    counts: by name of the set and filter.
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
  to_label: Inline[ToLabel | None]
  words: Inline[Words]


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
    reached, children: by name of the set, features it leads to, before and
      after all filters; `children_found`: on the half where it was chosen.
    counts: by name of the set and filter.
    features: by name of the set, some of those reached.
  """

  fit: Inline[LabelFit | None]
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
