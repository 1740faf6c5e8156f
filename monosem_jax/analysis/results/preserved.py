"""What dictionaries preserve of the loss (preserved)."""

import dataclasses

from monosem_jax.analysis.results.numbers import (
  BySet,
  Inline,
  Interval,
  Numbers,
)


@dataclasses.dataclass(frozen=True)
class Figures:
  """Figures of some tokens, None where there is none.

  Attributes:
    tokens: how many.
    loss_recovered, loss_recovered_mean: share of the harm of zero ablation, and
      of ablation to the mean, that is undone; the reasons say why it is None,
      or has no interval.
    kl: of the predictions, nats.
    explained_variance: of the activations.
    l0, l1_norm: active features of a token, and the sum of what they are.
    loss_clean, loss_zero, loss_mean, loss_reconstructed: nats per token.
  """

  tokens: int
  loss_recovered: float | None
  loss_recovered_mean: float | None
  kl: float | None
  explained_variance: float | None
  l0: float | None
  loss_recovered_reason: str
  loss_recovered_mean_reason: str
  l1_norm: float | None
  loss_clean: float | None
  loss_zero: float | None
  loss_mean: float | None
  loss_reconstructed: float | None


@dataclasses.dataclass(frozen=True)
class Measured:
  """The figures of all tokens with their intervals, and those of subsets.

  Attributes:
    whole: of all tokens.
    groups: of documents that the intervals are over.
    subsets: by the subset's name.
  """

  whole: Inline[Figures]
  loss_recovered_interval: Interval
  loss_recovered_mean_interval: Interval
  kl_interval: Interval
  explained_variance_interval: Interval
  l0_interval: Interval
  groups: int
  subsets: dict[str, Figures]


@dataclasses.dataclass(frozen=True)
class Refused:
  """In place of figures: what could not be measured.

  Attributes:
    loss_recovered_reason: why.
  """

  loss_recovered: None
  loss_recovered_reason: str


@dataclasses.dataclass(frozen=True)
class Components:
  """So many components a token of a control.

  Attributes:
    k: kept of each token.
    components: of so many.
    what: it is, in words.
  """

  k: int
  components: int
  what: str


@dataclasses.dataclass(frozen=True)
class Independent:
  """Independent components, see `Components`.

  Attributes:
    passes: of FastICA.
  """

  k: int
  components: int
  passes: int
  what: str


@dataclasses.dataclass(frozen=True)
class Largest:
  """So many neurons a token, `k`."""

  what: str
  k: int


@dataclasses.dataclass(frozen=True)
class Described:
  """A dictionary or random directions, in words."""

  what: str


@dataclasses.dataclass(frozen=True)
class Margin:
  """How much more of the loss the main dictionary recovers.

  Attributes:
    margin: None where zero ablation does not raise the loss.
  """

  margin: float | None
  margin_interval: Interval


@dataclasses.dataclass(frozen=True)
class SetPreserved:
  """What one way of writing activations preserves.

  Attributes:
    kept: what is written of a token.
    found: the figures.
    margin: None of the main dictionary, and of other models.
  """

  kept: Inline[Independent | Components | Largest | Described]
  found: Inline[Measured | Refused]
  margin: Inline[Margin | None]


@dataclasses.dataclass(frozen=True)
class Matched:
  """What controls are matched to: a dictionary, its L0, and that rounded."""

  to: str
  l0: float
  k: int


@dataclasses.dataclass(frozen=True)
class Preserved(Numbers):
  """What the analysis preserved found.

  Attributes:
    sets: by name: A/1.
    about_means: likewise, neurons that are farthest from their means.
    matched: what as many numbers a token are.
    interval: what the intervals are, in words.
  """

  sets: BySet[SetPreserved]
  about_means: dict[str, SetPreserved]
  matched: Matched
  interval: str
