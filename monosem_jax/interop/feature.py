"""A feature as plain arrays and text, the input of export formats.

The exporter fills these classes; formats do not depend on the feature table.
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Effects:
  """The effects on each token of a window when the feature is ablated.

  As the paper (feature ablations): the effect on a token is made at the one
  before it, where it is predicted.

  Attributes:
    loss_W: by how many nats the token's loss rises without the feature; 0
      where the feature does not fire on the token before.
    raised_ids_Wk, raised_Wk: the logits that rise most, falling.
    lowered_ids_Wk, lowered_Wk: those that fall most, by how much (negative).
  """

  loss_W: np.ndarray
  raised_ids_Wk: np.ndarray
  raised_Wk: np.ndarray
  lowered_ids_Wk: np.ndarray
  lowered_Wk: np.ndarray


@dataclasses.dataclass(frozen=True)
class Example:
  """A window of W tokens around its own token.

  Attributes:
    tokens_W: token ids.
    acts_W: the feature's activation on each.
    own: which of them is its own.
    datapoint: number of its own token among all tokens of the text.
    effects: None where ablations were not made.
    residual_W: by how many nats each token's loss rises when the dictionary's
      reconstruction stands for the activations; None where not known.
  """

  tokens_W: np.ndarray
  acts_W: np.ndarray
  own: int
  datapoint: int
  effects: Effects | None = None
  residual_W: np.ndarray | None = None

  @property
  def act(self) -> float:
    """The activation on its own token."""
    return float(self.acts_W[self.own])


@dataclasses.dataclass(frozen=True)
class Group:
  """Examples of one strength.

  Attributes:
    name: as published: `Top Activations`, `Subsample Interval 3`, ...
    level: of an interval: the fraction of the sample's maximum it lies at.
    examples: those that there are, by falling activation.
  """

  name: str
  level: float | None
  examples: tuple[Example, ...]


@dataclasses.dataclass(frozen=True)
class Feature:
  """A feature, with L logits each way.

  Attributes:
    index: its number.
    density: fraction of tokens it fires on.
    max: its largest activation.
    sample_max: the largest of the sample behind the histogram.
    histogram_H: the sample in H bins, from 0 to `sample_max`.
    raised_ids_L, raised_L: the tokens it raises most and its logit weights on
      them, the largest first.
    lowered_ids_L, lowered_L: those it lowers most, the most negative first.
    logit_histogram_H: logit weights over the vocabulary in H bins.
    logit_range_2: their left and right edge.
    row_A: its decoder row.
    neurons_n, neurons_r_n, neurons_cosine_n: the neurons whose activations
      correlate most with its own, by how much (Pearson), and the cosine of the
      same; none where not known.
    groups: its examples.
  """

  index: int
  density: float
  max: float
  sample_max: float
  histogram_H: np.ndarray
  raised_ids_L: np.ndarray
  raised_L: np.ndarray
  lowered_ids_L: np.ndarray
  lowered_L: np.ndarray
  logit_histogram_H: np.ndarray
  logit_range_2: np.ndarray
  row_A: np.ndarray
  neurons_n: np.ndarray
  neurons_r_n: np.ndarray
  neurons_cosine_n: np.ndarray
  groups: tuple[Group, ...]

  def aligned(self, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The neurons with the largest coefficients of the decoder row.

    Returns:
      Their numbers, and each one's share of the row's L1 norm.
    """
    size_A = np.abs(self.row_A.astype(np.float64))
    largest = np.argsort(-size_A, kind='stable')[:count]
    return largest, size_A[largest] / max(size_A.sum(), np.finfo(float).tiny)


@contextlib.contextmanager
def naming(f: Feature) -> Iterator[None]:
  """Puts the feature's number in front of what a ValueError says."""
  try:
    yield
  except ValueError as e:
    raise ValueError(f'feature {f.index}: {e}') from e


def digits(x: Any) -> Any:
  """A number or an array of them as JSON has it, to 4 significant digits.

  As published, zeros are `0`.

  Raises:
    ValueError: one is not finite, which JSON has no word for.
  """
  return _digits(np.asarray(x).tolist())


def _digits(x: Any) -> Any:
  if isinstance(x, list):
    return [_digits(v) for v in x]
  if x == 0:
    return 0
  if not math.isfinite(x):
    raise ValueError(f'{x} is no number that JSON has')
  return float(f'{x:.4g}')


def encode(value: Any) -> bytes:
  """JSON on one line, in ASCII: half of a surrogate pair is escaped like any
  other character, and survives."""
  text = json.dumps(value, allow_nan=False, separators=(',', ':'))
  return text.encode('ascii')
