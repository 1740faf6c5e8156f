"""Numbers of the analyses neurons, logits, ablation, neighbours and texts."""

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
    fires_on: tokens with the largest activation in its top examples, the most
      frequent first.
    predicts: tokens whose logits it raises most.
  """

  fires_on: list[str]
  predicts: list[str]


@dataclasses.dataclass(frozen=True)
class SetNeurons:
  """Medians and shares of a set's live features, see `analysis.neurons`.

  Attributes:
    live: number of live features.
    n: the same number, which the shares are over.
    median_kurtosis: kurtosis of the activations.
    median_kurtosis_interval: interval of this median over features.
    kurtosis_n: features that have a kurtosis.
    median_diversity: number of different tokens with the largest activation in
      the top examples.
    median_diversity_interval: interval of this median.
    diversity_n: features that have a diversity.
    median_coefficients: neurons that hold 90% of a decoder row's squared norm.
    median_coefficients_interval: interval of this median.
    coefficients_n: features that have such a number.
    median_neuron_r: Pearson correlation with the nearest neuron.
    median_neuron_r_interval: interval of this median.
    neuron_r_n: features that have such a correlation.
    single_token: share of features whose top examples have one token.
    single_token_interval: interval of this share.
    single_document: share of features whose top examples are of one document.
    single_document_interval: interval of this share.
    kurtosis_density_spearman: rank correlation of kurtosis and density.
    median_kurtosis_matched: kurtosis of random directions that fire as often.
    kurtosis_matched_n: features for which there is such a direction.
    kurtosis_log_ratio: median log ratio of the two kurtoses.
    kurtosis_log_ratio_interval: interval of this median.
    kurtosis_reason: why they are not compared; '' if they are.
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
  """The results of the analysis neurons.

  Attributes:
    sets: the numbers of each set.
    tokens: tokens that kurtoses and correlations are over.
    unit: what the intervals are over, in words.
  """

  sets: BySet[SetNeurons]
  tokens: int
  unit: str


@dataclasses.dataclass(frozen=True)
class Agreement:
  """How well linear effects predict ablations, see `directions.agreement`.

  Without pairs all other attributes are None.

  Attributes:
    pairs: pairs of a feature and a token that were measured.
    correlation: correlation over all pairs and logits.
    mean_correlation: correlation over the logits of a pair, averaged over
      pairs.
    slope: least-squares slope of the measured change on the predicted one.
  """

  pairs: int
  correlation: float | None
  mean_correlation: float | None
  slope: float | None


@dataclasses.dataclass(frozen=True)
class Linear:
  """The linear effects of a set.

  Attributes:
    linear: how well they predict ablations.
    linear_r: the correlation over all pairs and logits.
  """

  linear: Agreement
  linear_r: float | None


@dataclasses.dataclass(frozen=True)
class SetLogits:
  """The shape of a set's logit weights.

  Attributes:
    median_logit_skew: skewness over the vocabulary, median over live features.
    median_logit_kurtosis: kurtosis over the vocabulary, median over live
      features.
    effects: None if layers follow the site.
  """

  median_logit_skew: float | None
  median_logit_kurtosis: float | None
  effects: Inline[Linear | None]


@dataclasses.dataclass(frozen=True)
class Logits(Numbers):
  """The results of the analysis logits, by set."""

  sets: BySet[SetLogits]


@dataclasses.dataclass(frozen=True)
class Residual:
  """The loss that a dictionary's reconstruction error costs.

  Attributes:
    residual_loss: mean increase of the loss with reconstructions in place of
      the activations, nats.
  """

  residual_loss: float | None


@dataclasses.dataclass(frozen=True)
class SetAblation:
  """The effects of ablating a set's live features.

  Attributes:
    ablation_pairs: pairs of a feature and a token that were ablated.
    ablation_examples: examples of strong firings that the means are over.
    ablation_loss: mean increase of the next token's loss, nats.
    ablation_loss_interval: interval of this mean.
    ablation_hurts: share of examples whose loss increases.
    ablation_hurts_interval: interval of this share.
    residual: None for neurons, which leave no reconstruction error.
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
  """The results of the analysis ablation, by set."""

  sets: BySet[SetAblation]


@dataclasses.dataclass(frozen=True)
class NearestRows(Numbers):
  """The results of the analysis neighbours.

  Attributes:
    nearest: number of neighbours kept for each feature.
    median: median cosine with the nearest row, by the set of the feature and
      the set of the neighbour.
  """

  nearest: int
  median: dict[str, dict[str, float | None]]


@dataclasses.dataclass(frozen=True)
class Text:
  """Where an example text is from.

  Attributes:
    context: index of its context.
    subset: the subset of the corpus.
    origin: the file or record of the document.
    document: index of the document.
    offset: index of the text's first token in the document; negative if the
      document begins inside the text.
    whole: whether the text lies in a single document.
  """

  context: int
  subset: str
  origin: str
  document: int
  offset: int
  whole: bool


@dataclasses.dataclass(frozen=True)
class Active:
  """How many features are active on the tokens of the example texts.

  Attributes:
    active: mean number of active features per token.
    overflowing_tokens: tokens with more active features than are kept.
  """

  active: float
  overflowing_tokens: int


@dataclasses.dataclass(frozen=True)
class ExampleTexts(Numbers):
  """The results of the analysis texts, apart from its arrays.

  Attributes:
    split: the split of the corpus that the texts are from.
    active_per_token: number of features kept for each token.
    texts: where each text is from.
    runs: active features of each run.
  """

  split: str
  active_per_token: int
  texts: list[Text]
  sets: BySet[Active]
