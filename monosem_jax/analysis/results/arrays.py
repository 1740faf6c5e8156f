"""What analyses leave for the page, for exports and for each other: arrays.

Each class is a file, NAME.npz, whose arrays have the names of its fields. This
module needs numpy alone, so that readers start without jax.
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
    """The arrays by name; those that are None are left out."""
    found = {name: getattr(self, name) for name in _fields(type(self))}
    return {name: x for name, x in found.items() if x is not None}

  def save(self, path: pathlib.Path) -> None:
    write_arrays(path, self.columns())

  @classmethod
  def load(cls, path: pathlib.Path) -> Self:
    """Reads a file; arrays that are no field of the class are left out.

    Raises:
      UserError: the file is missing, not whole, or of another kind.
    """
    found, known = _read(path), _fields(cls)
    for name, field in known.items():
      if name not in found and field.default is dataclasses.MISSING:
        raise UserError(f'{path}: holds no {name}; {_AGAIN}')
    return cls(**{name: x for name, x in found.items() if name in known})

  @classmethod
  def load_if_there(cls, path: pathlib.Path) -> Self | None:
    """As `load`; None where there is no file."""
    return cls.load(path) if path.exists() else None


_AGAIN = 'delete its folder and run the stage analysis again.'


def _fields(kind: Any) -> dict[str, dataclasses.Field]:
  return {field.name: field for field in dataclasses.fields(kind)}


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    # From memory: numpy would leave a broken file open.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
      return dict(arrays)
  except (OSError, ValueError, zipfile.BadZipFile) as e:
    raise UserError(f'{path} is not whole; {_AGAIN}') from e


@dataclasses.dataclass(frozen=True, eq=False)
class AblationEffects(Arrays):
  """What ablating a feature changes, for M tokens of examples (ablation/A1).

  Attributes:
    at_M: the token, a place in the table's example_tokens_FEW, rising, int64.
    loss_M: by how many nats its loss rises without the feature, float16.
    raised_ids_Mk, raised_Mk: the logits that rise most, falling.
    lowered_ids_Mk, lowered_Mk: those that fall most (negative).
  """

  at_M: np.ndarray
  loss_M: np.ndarray
  raised_ids_Mk: np.ndarray
  raised_Mk: np.ndarray
  lowered_ids_Mk: np.ndarray
  lowered_Mk: np.ndarray

  def part(self, rows: np.ndarray, window: int) -> 'AblationEffects':
    """The effects of some features, whose tables have these rows alone.

    Args:
      rows: numbers of features, rising.
      window: tokens of a feature's examples, E x W.
    """
    feature_M, at_M = np.divmod(self.at_M, window)
    row_M = np.minimum(np.searchsorted(rows, feature_M), rows.size - 1)
    kept_M = rows[row_M] == feature_M
    own = {name: x[kept_M] for name, x in self.columns().items()}
    return AblationEffects(**own | {'at_M': (row_M * window + at_M)[kept_M]})


@dataclasses.dataclass(frozen=True, eq=False)
class Residuals(Arrays):
  """Losses without what a dictionary leaves unexplained (ablation/A1_residual).

  Attributes:
    context_C: numbers of contexts, rising, int32.
    loss_CT: the loss of each token, nats, float16; NaN at position 0.
    residual_CT: by how much it rises without the unexplained.
  """

  context_C: np.ndarray
  loss_CT: np.ndarray
  residual_CT: np.ndarray

  def of(self, number_X: np.ndarray) -> np.ndarray:
    """residual_XT of some contexts; NaN of those that are not there."""
    at_X = np.searchsorted(self.context_C, number_X)
    at_X = np.minimum(at_X, self.context_C.size - 1)
    same_X = self.context_C[at_X] == number_X
    return np.where(same_X[:, None], self.residual_CT[at_X], np.float16(np.nan))


@dataclasses.dataclass(frozen=True, eq=False)
class BestNeurons(Arrays):
  """The neurons that correlate most with each feature (neurons/A1).

  Attributes:
    neuron_F3: their numbers, int32.
    neuron_r_F3: Pearson's correlation.
    neuron_cosine_F3: of the activations as vectors over tokens.
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
  """The nearest features of each, in one dictionary.

  Attributes:
    index_Fk: their numbers, nearest first, int32; -1 where there are fewer.
    cosine_Fk: of the decoder rows.
  """

  index_Fk: np.ndarray
  cosine_Fk: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
  """The nearest features of each, in every dictionary alike (neighbours/A1).

  Attributes:
    of: by the dictionary's name.
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
    """Reads a file; no neighbours where there is none."""
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

  Attributes:
    match_F: for each feature of the main dictionary, int32; -1: none.
    found_F: their correlation, on the half of the text where it was found.
    r_F: the correlation on the other half.
    back_match_F, back_found_F, back_r_F: the same for the match's features.
  """

  match_F: np.ndarray
  found_F: np.ndarray
  r_F: np.ndarray
  back_match_F: np.ndarray
  back_found_F: np.ndarray
  back_r_F: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs(Arrays):
  """Pairs of features of two models, how alike they are (universality/pairs).

  Attributes:
    feature_M, match_M: the pairs.
    found_M: correlation of activations, on the half where it was found.
    activation_M, logits_M, attribution_M: correlations on the other half.
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
    source_M, target_M: numbers of the features.
    similarity_M: masked cosine, above the threshold, float32.
  """

  source_M: np.ndarray
  target_M: np.ndarray
  similarity_M: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Successors(Arrays):
  """Which features are likely to fire on the next token (automata/edges).

  Attributes:
    source_M, target_M: numbers of features, sources rising.
    gain_M: probability above that of any token, above 0.
    lift_M: the probability in multiples of that of any token.
  """

  source_M: np.ndarray
  target_M: np.ndarray
  gain_M: np.ndarray
  lift_M: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Layout(Arrays):
  """A map of features (geometry/small, geometry/large).

  Attributes:
    position_F2: in the plane.
    dictionary_F: the set of each feature, by its number in the layout.
    feature_F: its number there.
    cluster_F: its cluster; -1: none.
    order_F: its place in the order of clusters.
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
    context_X, document_X, subset_X: where each is from.
    whole_X: whether it lies in one document.
    loss_XT: of each token by the main transformer, nats; NaN of the first.
  """

  tokens_XT: np.ndarray
  context_X: np.ndarray
  document_X: np.ndarray
  subset_X: np.ndarray
  whole_X: np.ndarray
  loss_XT: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ActiveFeatures(Arrays):
  """What fires on each token of the example texts (texts/A1).

  Attributes:
    feature_XTL: the strongest features, falling; -1: no more fire.
    activation_XTL, attribution_XTL: see `analysis.texts.View`.
    active_XT: how many fire.
    loss_XT: of each token by the set's transformer, nats; NaN of the first.
  """

  feature_XTL: np.ndarray
  activation_XTL: np.ndarray
  attribution_XTL: np.ndarray
  active_XT: np.ndarray
  loss_XT: np.ndarray
