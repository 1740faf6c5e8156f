"""What sets features apart (neurons, logits, ablation, neighbours, texts)."""

import dataclasses

from monosem_jax.analysis.results.numbers import (
  BySet,
  Inline,
  Interval,
  Numbers,
)


@dataclasses.dataclass(frozen=True)
class Words:
  """A feature in words.

  Attributes:
    fires_on: the tokens that lead its top examples, the most frequent first.
    predicts: the tokens whose logits it raises most.
  """

  fires_on: list[str]
  predicts: list[str]


@dataclasses.dataclass(frozen=True)
class SetNeurons:
  """Medians and shares of a set's live features, see `analysis.neurons`.

  Attributes:
    live, n: the live features.
    median_X, median_X_interval, X_n: of kurtosis, diversity of top tokens,
      neurons of a decoder row, and Pearson's r with the best neuron; n: the
      features that have such a figure.
    single_token, single_document: shares of the live.
    kurtosis_density_spearman: their rank correlation.
    median_kurtosis_matched: of random directions that fire as often, of which
      there are `kurtosis_matched_n`.
    kurtosis_log_ratio: median of kurtosis over that.
    kurtosis_reason: why there is no such comparison.
  """

  live: int
  n: int
  median_kurtosis: float | None
  median_kurtosis_interval: Interval
  kurtosis_n: int
  median_diversity: float | None
  median_diversity_interval: Interval
  diversity_n: int
  median_coefficients: float | None
  median_coefficients_interval: Interval
  coefficients_n: int
  median_neuron_r: float | None
  median_neuron_r_interval: Interval
  neuron_r_n: int
  single_token: float | None
  single_token_interval: Interval
  single_document: float | None
  single_document_interval: Interval
  kurtosis_density_spearman: float | None
  median_kurtosis_matched: float | None
  kurtosis_matched_n: int
  kurtosis_log_ratio: float | None
  kurtosis_log_ratio_interval: Interval
  kurtosis_reason: str


@dataclasses.dataclass(frozen=True)
class Neurons(Numbers):
  """What the analysis neurons found.

  Attributes:
    sets: by name: A/1.
    tokens: of the correlations.
    unit: what the intervals are over.
  """

  sets: BySet[SetNeurons]
  tokens: int
  unit: str


@dataclasses.dataclass(frozen=True)
class Agreement:
  """How linear effects agree with ablations, see `directions.agreement`.

  All but the number of pairs are None where there is no pair.
  """

  pairs: int
  correlation: float | None
  mean_correlation: float | None
  slope: float | None


@dataclasses.dataclass(frozen=True)
class Linear:
  """The linear effects of a set, and their correlation with ablations."""

  linear: Agreement
  linear_r: float | None


@dataclasses.dataclass(frozen=True)
class SetLogits:
  """The shape of a set's logit weights.

  Attributes:
    effects: None where layers follow the site.
  """

  median_logit_skew: float | None
  median_logit_kurtosis: float | None
  effects: Inline[Linear | None]


@dataclasses.dataclass(frozen=True)
class Logits(Numbers):
  """What the analysis logits found, by set."""

  sets: BySet[SetLogits]


@dataclasses.dataclass(frozen=True)
class Residual:
  """Mean rise of the loss, nats, without what a dictionary leaves over."""

  residual_loss: float | None


@dataclasses.dataclass(frozen=True)
class SetAblation:
  """What is lost without a set's live features.

  Attributes:
    ablation_pairs: of a feature and a token that were ablated.
    ablation_examples: of strong firings, which the means are of.
    ablation_loss: mean rise of the next token's loss, nats.
    ablation_hurts: share of examples with a rise.
    residual: None of neurons.
  """

  ablation_pairs: int
  ablation_examples: int
  ablation_loss: float | None
  ablation_loss_interval: Interval
  ablation_hurts: float | None
  ablation_hurts_interval: Interval
  residual: Inline[Residual | None]


@dataclasses.dataclass(frozen=True)
class Ablation(Numbers):
  """What the analysis ablation found, by set."""

  sets: BySet[SetAblation]


@dataclasses.dataclass(frozen=True)
class NearestRows(Numbers):
  """What the analysis neighbours found.

  Attributes:
    nearest: how many of each feature are kept.
    median: by the names of two sets, the median cosine with the nearest row.
  """

  nearest: int
  median: dict[str, dict[str, float | None]]


@dataclasses.dataclass(frozen=True)
class Text:
  """Where an example text is from.

  Attributes:
    offset: of its first token in the document; below 0: it begins later.
    whole: it lies in one document.
  """

  context: int
  subset: str
  origin: str
  document: int
  offset: int
  whole: bool


@dataclasses.dataclass(frozen=True)
class Active:
  """Active features of a token, the mean; tokens with more than are kept."""

  active: float
  overflowing_tokens: int


@dataclasses.dataclass(frozen=True)
class ExampleTexts(Numbers):
  """What the analysis texts left beside its arrays."""

  split: str
  active_per_token: int
  texts: list[Text]
  sets: BySet[Active]
