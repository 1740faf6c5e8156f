"""The arrays that analyses save for the page, for exports and for each other.

Each class is saved as one file, NAME.npz, whose arrays are named after the
fields. This module needs only numpy, so that its readers start without jax.
"""

import dataclasses
import io
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.run.files import write_arrays


class Arrays:
  """Saves a dataclass of arrays as a file, and loads it."""

  def columns(self) -> dict[str, np.ndarray]:
    """The arrays by name, without those that are None."""
    found = {name: getattr(self, name) for name in _fields(type(self))}
    return {name: x for name, x in found.items() if x is not None}

  def save(self, path: pathlib.Path) -> None:
    write_arrays(path, self.columns())

  @classmethod
  def load(cls, path: pathlib.Path) -> Self:
    """Reads a file and ignores arrays that are not fields of the class.

    Raises:
      UserError: the file is missing or damaged, or lacks an array.
    """
    found, known = _read(path), _fields(cls)
    for name, field in known.items():
      if name not in found and field.default is dataclasses.MISSING:
        raise UserError(f'{path}: the array {name} is missing; {_AGAIN}')
    return cls(**{name: x for name, x in found.items() if name in known})

  @classmethod
  def load_if_there(cls, path: pathlib.Path) -> Self | None:
    """Like `load`, but returns None if the file does not exist."""
    return cls.load(path) if path.exists() else None


_AGAIN = 'delete its folder and run the stage analysis again.'


def _fields(kind: Any) -> dict[str, dataclasses.Field]:
  return {field.name: field for field in dataclasses.fields(kind)}


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    # numpy would leave a broken file open, so it reads from memory.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
      return dict(arrays)
  except (OSError, ValueError, zipfile.BadZipFile) as e:
    raise UserError(f'{path} is damaged; {_AGAIN}') from e


@dataclasses.dataclass(frozen=True, eq=False)
class AblationEffects(Arrays):
  """The effects of ablating features on M example tokens (ablation/A1).

  Attributes:
    at_M: index of the token in the table's flattened example_tokens_FEW,
      ascending, int64.
    loss_M: increase of the token's loss without the feature, nats, float16.
    raised_ids_Mk: ids of the tokens whose logits rise most, largest rise first.
    raised_Mk: the rise of these logits.
    lowered_ids_Mk: ids of the tokens whose logits fall most, largest fall
      first.
    lowered_Mk: the change of these logits, negative.
  """

  at_M: np.ndarray
  loss_M: np.ndarray
  raised_ids_Mk: np.ndarray
  raised_Mk: np.ndarray
  lowered_ids_Mk: np.ndarray
  lowered_Mk: np.ndarray

  def part(self, rows: np.ndarray, window: int) -> 'AblationEffects':
    """The effects of some features, indexed by a table of only these features.

    Args:
      rows: indices of the features, ascending.
      window: number of example tokens of a feature, E x W.
    """
    feature_M, at_M = np.divmod(self.at_M, window)
    row_M = np.minimum(np.searchsorted(rows, feature_M), rows.size - 1)
    kept_M = rows[row_M] == feature_M
    own = {name: x[kept_M] for name, x in self.columns().items()}
    return AblationEffects(**own | {'at_M': (row_M * window + at_M)[kept_M]})


@dataclasses.dataclass(frozen=True, eq=False)
class Residuals(Arrays):
  """Losses with reconstructions as activations (ablation/A1_residual).

  Attributes:
    context_C: indices of the contexts, ascending, int32.
    loss_CT: loss of each token in nats, float16; NaN at position 0.
    residual_CT: increase of the loss with the reconstruction in place of the
      activation.
  """

  context_C: np.ndarray
  loss_CT: np.ndarray
  residual_CT: np.ndarray

  def of(self, number_X: np.ndarray) -> np.ndarray:
    """residual_XT of some contexts; NaN for contexts that were not measured."""
    at_X = np.searchsorted(self.context_C, number_X)
    at_X = np.minimum(at_X, self.context_C.size - 1)
    same_X = self.context_C[at_X] == number_X
    return np.where(same_X[:, None], self.residual_CT[at_X], np.float16(np.nan))


@dataclasses.dataclass(frozen=True, eq=False)
class BestNeurons(Arrays):
  """The neurons that correlate most with each feature (neurons/A1).

  All arrays are None if neurons are not among the controls.

  Attributes:
    neuron_F3: indices of the neurons, int32.
    neuron_r_F3: Pearson correlation of the activations over tokens.
    neuron_cosine_F3: cosine of the activations as vectors over tokens.
  """

  neuron_F3: np.ndarray
  neuron_r_F3: np.ndarray
  neuron_cosine_F3: np.ndarray

  @classmethod
  def load_if_known(cls, path: pathlib.Path) -> Self | None:
    """As `load`; None without a file, or without neurons as a control."""
    known = path.exists() and 'neuron_F3' in _read(path)
    return cls.load(path) if known else None

  def part(self, rows: np.ndarray) -> 'BestNeurons':
    return BestNeurons(**{k: x[rows] for k, x in self.columns().items()})


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest(Arrays):
  """The nearest features of each feature, in one dictionary.

  Attributes:
    index_Fk: indices, nearest first, int32; -1 if there are fewer than k.
    cosine_Fk: cosine of the decoder rows.
  """

  index_Fk: np.ndarray
  cosine_Fk: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
  """The nearest features of each feature, in every dictionary (neighbours/A1).

  Attributes:
    of: the neighbours in each dictionary, by the dictionary's name.
  """

  of: Mapping[str, Nearest]

  def save(self, path: pathlib.Path) -> None:
    write_arrays(
      path,
      {
        f'{key}_{name}': x
        for key, nearest in self.of.items()
        for name, x in nearest.columns().items()
      },
    )

  @classmethod
  def load(cls, path: pathlib.Path) -> 'Neighbours':
    """Reads a file; without a file there are no neighbours."""
    found = _read(path) if path.exists() else {}
    keys = [
      k.removesuffix('_index_Fk') for k in found if k.endswith('_index_Fk')
    ]
    return cls(
      {
        k: Nearest(found[f'{k}_index_Fk'], found[f'{k}_cosine_Fk'])
        for k in keys
      }
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Twins(Arrays):
  """The nearest features of another model, both ways (universality/twins).

  "The match" is the dictionary of the other model.

  Attributes:
    match_F: the match's nearest feature for each feature of the main
      dictionary, int32; -1 if there is none.
    found_F: correlation with it on the half of the documents that was searched.
    r_F: correlation with it on the other half.
    back_match_F: the main dictionary's nearest feature for each feature of the
      match, int32; -1 if there is none.
    back_found_F: correlation with it on the half that was searched.
    back_r_F: correlation with it on the other half.
  """

  match_F: np.ndarray
  found_F: np.ndarray
  r_F: np.ndarray
  back_match_F: np.ndarray
  back_found_F: np.ndarray
  back_r_F: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs(Arrays):
  """Pairs of features of two models and their similarity (universality/pairs).

  Attributes:
    feature_M: the feature of the main dictionary.
    match_M: its nearest feature in the other model.
    found_M: correlation of activations on the half that was searched.
    activation_M: correlation of activations on the other half.
    logits_M: correlation of logit weights over the vocabulary.
    attribution_M: correlation of attributions on the other half.
  """

  feature_M: np.ndarray
  match_M: np.ndarray
  found_M: np.ndarray
  activation_M: np.ndarray
  logits_M: np.ndarray
  attribution_M: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Splits(Arrays):
  """Edges from features of a dictionary to a larger one's (splitting/A0_A1).

  Attributes:
    source_M: index of the feature in the smaller dictionary.
    target_M: index of the feature in the larger dictionary.
    similarity_M: masked cosine similarity, above the threshold, float32.
  """

  source_M: np.ndarray
  target_M: np.ndarray
  similarity_M: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Successors(Arrays):
  """Which features are likely to fire on the next token (automata/edges).

  Attributes:
    source_M: index of the feature that fires first, ascending.
    target_M: index of the feature that fires next.
    gain_M: probability that the target fires next, minus the share of all
      tokens on which it fires; positive.
    lift_M: the same probability divided by that share.
  """

  source_M: np.ndarray
  target_M: np.ndarray
  gain_M: np.ndarray
  lift_M: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Layout(Arrays):
  """A map of features (geometry/small, geometry/large).

  Attributes:
    position_F2: coordinates in the plane.
    dictionary_F: the feature's dictionary, an index into the layout's runs.
    feature_F: index of the feature in its dictionary.
    cluster_F: the feature's cluster; -1 for a feature without a cluster.
    order_F: the features in the order in which the paper lists clusters.
  """

  position_F2: np.ndarray
  dictionary_F: np.ndarray
  feature_F: np.ndarray
  cluster_F: np.ndarray | None = None
  order_F: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Texts(Arrays):
  """X example texts (texts/texts).

  Attributes:
    tokens_XT: token ids.
    context_X: index of the text's context.
    document_X: index of the document it is from.
    subset_X: index of the document's subset of the corpus.
    whole_X: whether the text lies in a single document.
    loss_XT: loss of each token under the main transformer, nats; NaN for the
      first token.
  """

  tokens_XT: np.ndarray
  context_X: np.ndarray
  document_X: np.ndarray
  subset_X: np.ndarray
  whole_X: np.ndarray
  loss_XT: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ActiveFeatures(Arrays):
  """The features that fire on each token of the example texts (texts/A1).

  Attributes:
    feature_XTL: the most active features, strongest first; -1 if fewer fire.
    activation_XTL: their activations.
    attribution_XTL: their attributions, see `analysis.texts.View`.
    active_XT: number of features that fire.
    loss_XT: loss of each token under the dictionary's transformer, nats; NaN
      for the first token.
  """

  feature_XTL: np.ndarray
  activation_XTL: np.ndarray
  attribution_XTL: np.ndarray
  active_XT: np.ndarray
  loss_XT: np.ndarray
