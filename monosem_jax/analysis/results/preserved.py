"""How much of the transformer's loss dictionaries preserve (preserved)."""

import dataclasses

from monosem_jax.analysis.results.numbers import (
  BySet,
  Inline,
  Interval,
  Numbers,
)


@dataclasses.dataclass(frozen=True)
class Figures:
  """Figures over some tokens. A figure that cannot be computed is None.

  Attributes:
    tokens: number of tokens.
    loss_recovered: share of the loss increase of zero ablation that the
      reconstruction avoids.
    loss_recovered_mean: the same share for ablation to the mean.
    kl: KL divergence of the predictions from the clean ones, nats.
    explained_variance: share of the variance of the activations.
    l0: mean number of active features per token.
    loss_recovered_reason: why `loss_recovered` or its interval is None.
    loss_recovered_mean_reason: why `loss_recovered_mean` or its interval is
      None.
    l1_norm: mean sum of the feature activations of a token.
    loss_clean: loss of the unchanged transformer, nats per token.
    loss_zero: loss with activations set to zero, nats per token.
    loss_mean: loss with activations set to their mean, nats per token.
    loss_reconstructed: loss with reconstructed activations, nats per token.
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
  """The figures over all tokens with their intervals, and those by subset.

  Attributes:
    whole: figures over all tokens.
    loss_recovered_interval: interval of `whole.loss_recovered`.
    loss_recovered_mean_interval: interval of `whole.loss_recovered_mean`.
    kl_interval: interval of `whole.kl`.
    explained_variance_interval: interval of `whole.explained_variance`.
    l0_interval: interval of `whole.l0`.
    groups: number of groups of documents that intervals are over.
    subsets: figures over each subset of the corpus, by name.
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
  """Stands in for figures that could not be measured.

  Attributes:
    loss_recovered: always None.
    loss_recovered_reason: why they could not be measured.
  """

  loss_recovered: None
  loss_recovered_reason: str


@dataclasses.dataclass(frozen=True)
class Components:
  """A control that keeps the k largest components of each token.

  Attributes:
    k: number of components kept for each token.
    components: number of components in all.
    what: description of the control.
  """

  k: int
  components: int
  what: str


@dataclasses.dataclass(frozen=True)
class Independent:
  """`Components` that are independent components.

  Attributes:
    k: number of components kept for each token.
    components: number of components in all.
    passes: iterations of FastICA.
    what: description of the control.
  """

  k: int
  components: int
  passes: int
  what: str


@dataclasses.dataclass(frozen=True)
class Largest:
  """A control that keeps k neurons of each token.

  Attributes:
    what: description of the control.
    k: number of neurons kept for each token.
  """

  what: str
  k: int


@dataclasses.dataclass(frozen=True)
class Described:
  """A dictionary, or random directions.

  Attributes:
    what: its description.
  """

  what: str


@dataclasses.dataclass(frozen=True)
class Margin:
  """How much more of the loss the main dictionary recovers than this run.

  Attributes:
    margin: difference in loss recovered; None if zero ablation does not
      increase the loss.
    margin_interval: interval of the difference, over groups of documents.
  """

  margin: float | None
  margin_interval: Interval


@dataclasses.dataclass(frozen=True)
class SetPreserved:
  """What one way of reconstructing activations preserves.

  Attributes:
    kept: what is kept of each token.
    found: the figures, or why there are none.
    margin: None for the main dictionary and for other models.
  """

  kept: Inline[Independent | Components | Largest | Described]
  found: Inline[Measured | Refused]
  margin: Inline[Margin | None]


@dataclasses.dataclass(frozen=True)
class Matched:
  """The L0 that controls are matched to.

  Attributes:
    to: the set whose L0 it is.
    l0: its mean number of active features per token.
    k: the same, rounded to a whole number.
  """

  to: str
  l0: float
  k: int


@dataclasses.dataclass(frozen=True)
class Preserved(Numbers):
  """The results of the analysis preserved.

  Attributes:
    sets: what each set preserves.
    about_means: by set, the control that keeps the neurons farthest from their
      means.
    matched: how many numbers per token the controls keep.
    interval: description of the intervals.
  """

  sets: BySet[SetPreserved]
  about_means: dict[str, SetPreserved]
  matched: Matched
  interval: str
