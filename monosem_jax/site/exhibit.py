"""The data that the page shows: sets of features, and their texts."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from monosem_jax.analysis.results.arrays import AblationEffects, BestNeurons
from monosem_jax.features.featureset import FeatureSet

if TYPE_CHECKING:
  from monosem_jax.site.links import Links


@dataclasses.dataclass(frozen=True)
class Contexts:
  """The C contexts that the examples are from.

  A context consists of spans, S in all. A span is the part of one document in
  one context.

  Attributes:
    split: the split of the token store.
    number_C: the contexts' numbers in the split, rising.
    tokens_CT: token ids.
    span_of_C1: where each context's spans begin, and the end of the last.
    position_S: the position of each span's first token in its context.
    document_S: the document's number in the split.
    subset_S: the document's subset.
    offset_S: the index of the span's first token in its document.
  """

  split: str
  number_C: np.ndarray
  tokens_CT: np.ndarray
  span_of_C1: np.ndarray
  position_S: np.ndarray
  document_S: np.ndarray
  subset_S: np.ndarray
  offset_S: np.ndarray


@dataclasses.dataclass(frozen=True)
class Exhibit:
  """A set of features and all that the page shows of it.

  Attributes:
    features: the set.
    document_FE: the number of each example's document, in its split.
    subset_FE: that document's subset.
    links: links to other features.
    numbers: the set's column of the report, if it has one.
    effects: the effects of ablations, if they were computed.
    residual_CT: the change of each token's loss, in nats, when the dictionary's
      reconstruction error is removed, in the page's contexts. NaN where it is
      not known; None if it was not computed.
    neurons: the neurons most like each feature, if they are known.
    labels: the features' entries of `labels.json`.
  """

  features: FeatureSet
  document_FE: np.ndarray
  subset_FE: np.ndarray
  links: 'Links'
  numbers: Mapping[str, Any] | None = None
  effects: AblationEffects | None = None
  residual_CT: np.ndarray | None = None
  neurons: BestNeurons | None = None
  labels: Mapping[int, list[dict[str, Any]]] = dataclasses.field(
    default_factory=dict
  )
