"""How features split in larger dictionaries (splitting)."""

import dataclasses
from typing import Annotated

from monosem_jax.analysis.results.features import Words
from monosem_jax.analysis.results.numbers import Inline, Interval, Key, Numbers


@dataclasses.dataclass(frozen=True)
class Summary:
  """Counts of edges from a dictionary's features to a larger one's.

  Attributes:
    splits: features with more than one outgoing edge.
    one_to_one: edges that are the only one of both their features.
    merges: features of the larger dictionary with more than one incoming edge.
    without: features without an outgoing edge.
    new: features of the larger dictionary without an incoming edge.
  """

  splits: int
  one_to_one: int
  merges: int
  without: int
  new: int


@dataclasses.dataclass(frozen=True)
class Step:
  """The edges from a dictionary to the next larger one.

  Attributes:
    source: the smaller dictionary.
    target: the larger dictionary.
    counts: counts of the edges.
  """

  source: Annotated[str, Key('from')]
  target: Annotated[str, Key('to')]
  counts: Inline[Summary]


@dataclasses.dataclass(frozen=True)
class Beside:
  """A number of children beside that of null starts, see `splitting.beside`.

  Attributes:
    count: number of children.
    mean: mean number over null starts; None without null starts.
    interval: interval of the mean.
    max: largest number of any null start; None without null starts.
    n: number of null starts.
    p: probability of at least `count` children under the null; None without
      null starts.
  """

  count: int
  mean: float | None
  interval: Interval
  max: int | None
  n: int
  p: float | None


@dataclasses.dataclass(frozen=True)
class Nulls:
  """Null starts: other features of about the same density as a start.

  Attributes:
    starts: number of null starts.
    densities: smallest and largest density among them; empty without any.
    counts: numbers of children, by set and filter.
  """

  starts: int
  densities: list[float]
  counts: dict[str, dict[str, Beside]]


@dataclasses.dataclass(frozen=True)
class ToLabel:
  """How a feature relates to a label, see `splitting.Shares`.

  Attributes:
    on_label: share of the feature's activation on the label's tokens.
    pure: share of the feature's firings on the label's tokens.
    finds: share of the label's tokens on which the feature fires.
  """

  on_label: float | None
  pure: float | None
  finds: float | None


@dataclasses.dataclass(frozen=True)
class Reached:
  """A feature that is reached from a start.

  Attributes:
    feature: name of the feature.
    child: whether it passes all filters.
    density: density of the feature.
    held_out_firings: tokens of held-out text on which it fires.
    under_parent: share of its activation on tokens on which the start fires.
    to_label: None if the start was not chosen by a label.
    words: the feature in words.
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
  """How well a start fits its label.

  Attributes:
    correlation: correlation with the label on the half that was not searched.
    correlation_found: correlation on the half that was searched.
  """

  correlation: float | None
  correlation_found: float | None


@dataclasses.dataclass(frozen=True)
class Start:
  """A feature of the smallest dictionary, and the features it leads to.

  Attributes:
    fit: fit to the label; None if it was not chosen by a label.
    start: name of the feature.
    density: density of the feature.
    reached: number of features it leads to, by set, before filtering.
    counts: number of features left, by set and filter.
    children: number of features left after all filters, by set.
    children_found: the same on the half where the start was chosen.
    null: the same counts for null starts.
    features: some of the features reached, by set.
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
  """Stands in for a start whose label does not occur in the corpus.

  Attributes:
    absent: why it does not occur.
  """

  absent: str


@dataclasses.dataclass(frozen=True)
class Splitting(Numbers):
  """The results of the analysis splitting.

  Attributes:
    dictionaries: names of the dictionaries, from small to large.
    threshold: masked cosine similarity above which there is an edge.
    tokens: tokens that similarities are over.
    steps: the edges between neighbouring dictionaries.
    components: connected components of the graph of all dictionaries.
    largest: sizes of the largest components.
    floor: smallest density that passes the filters.
    purity: smallest share of activation that passes the filters.
    half_tokens: tokens of the half that was searched, and of the other half.
    held_out_tokens: tokens of held-out text.
    base64: the paper's example.
    most: the starts with the most children.
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
