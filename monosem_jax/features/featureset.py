"""A set of features: those of a dictionary, or of a control.

This module needs only numpy, so that its readers start without jax.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from monosem_jax.config.names import SetId
from monosem_jax.features.table import FeatureTable

if TYPE_CHECKING:
  from monosem_jax.dictionary.sae import SAE


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSet:
  """F features with their feature table.

  Attributes:
    id: identifies the dictionary or control, such as A1 or A_neurons.
    table: the feature table.
    rows_FA: decoder rows, on the host.
  """

  id: SetId
  table: FeatureTable
  rows_FA: np.ndarray

  @property
  def key(self) -> str:
    """The name in files, such as A1."""
    return self.id.key

  @property
  def name(self) -> str:
    """The name in the paper's form, such as A/1."""
    return self.id.name

  @property
  def model(self) -> str:
    """The name of the transformer."""
    return self.id.model

  @property
  def is_control(self) -> bool:
    return self.id.is_control

  @property
  def is_neurons(self) -> bool:
    return self.id.is_neurons

  @property
  def count(self) -> int:
    """F, the number of features."""
    return self.table.fired_F.size

  @property
  def live_F(self) -> np.ndarray:
    """Whether each feature is live, see `census`."""
    return self.table.live_F

  @property
  def fires_F(self) -> np.ndarray:
    """Whether each feature fired at all."""
    return self.table.fired_F > 0

  def part(self, rows: np.ndarray) -> 'FeatureSet':
    """The features with these indices."""
    return FeatureSet(self.id, self.table.part(rows), self.rows_FA[rows])


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedSet(FeatureSet):
  """A set of features with its dictionary on the devices.

  Attributes:
    sae: the dictionary.
  """

  sae: 'SAE'
