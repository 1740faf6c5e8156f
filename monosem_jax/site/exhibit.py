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
  """The contexts that examples are of, C of them.

  A context may begin and end within a document, and several may lie in it: each
  part of a document in it is a span, S of them in all.

  Attributes:
    split: of the token store.
    number_C: their numbers in it, rising.
    tokens_CT: token ids.
    span_of_C1: where each context's spans begin, and the end of the last.
    position_S: the first token of each span in its context.
    document_S: the document's number in its split.
    subset_S: the document's subset.
    offset_S: number of that token in the document.
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
  """A set of features and all that is known of it.

  Attributes:
    features: the set.
    document_FE: number of the document of each example, in its split.
    subset_FE: that document's subset.
    links: to other features.
    numbers: its column of the report; None where it has none.
    effects: of ablations; None if they are not made.
    residual_CT: by how many nats each token's loss changes when what the
      dictionary leaves unexplained is taken away, of the page's contexts; NaN
      where that is not known, None if it is not made.
    neurons: that go with each feature; None if they are not known.
    labels: of features, as `labels.json` has them.
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
