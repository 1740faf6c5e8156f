"""A feature as plain arrays and text: the input of export formats.

The export stage fills these classes, so that formats do not depend on the
feature table.
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
  """The effects of ablating the feature on each token of a window.

  As in the paper (feature ablations), a token is predicted at the token before
  it, so the feature's activation there causes the effect.

  Attributes:
    loss_W: increase of the token's loss without the feature, nats; 0 if the
      feature does not fire on the token before.
    raised_ids_Wk: the tokens whose logits rise most, largest rise first.
    raised_Wk: the rise of these logits.
    lowered_ids_Wk: the tokens whose logits fall most, largest fall first.
    lowered_Wk: the change of these logits, negative.
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
    acts_W: activation of the feature on each token.
    own: index of the example's own token in the window.
    datapoint: index of the example's own token in the whole text.
    effects: effects of ablation; None if ablations were not made.
    residual_W: increase of each token's loss with reconstructed activations,
      nats; None if unknown.
  """

  tokens_W: np.ndarray
  acts_W: np.ndarray
  own: int
  datapoint: int
  effects: Effects | None = None
  residual_W: np.ndarray | None = None

  @property
  def act(self) -> float:
    """The activation on the example's own token."""
    return float(self.acts_W[self.own])


@dataclasses.dataclass(frozen=True)
class Group:
  """Examples of similar activation.

  Attributes:
    name: published name: `Top Activations`, `Subsample Interval 3`, ...
    level: target of an interval, as a fraction of the sample's maximum; None
      for other groups.
    examples: the examples, by descending activation.
  """

  name: str
  level: float | None
  examples: tuple[Example, ...]


@dataclasses.dataclass(frozen=True)
class Feature:
  """A feature, with the L largest and the L smallest of its logit weights.

  Attributes:
    index: index of the feature.
    density: share of tokens on which it fires.
    max: its largest activation.
    sample_max: its largest activation in the sample of the histogram.
    histogram_H: histogram of the sample in H bins, from 0 to `sample_max`.
    raised_ids_L: the tokens with the largest logit weights, largest first.
    raised_L: their logit weights.
    lowered_ids_L: the tokens with the smallest logit weights, smallest first.
    lowered_L: their logit weights.
    logit_histogram_H: histogram of logit weights over the vocabulary in H bins.
    logit_range_2: left and right edge of that histogram.
    row_A: its decoder row.
    neurons_n: the neurons whose activations correlate most with the feature's;
      empty if unknown.
    neurons_r_n: Pearson correlation with these neurons.
    neurons_cosine_n: cosine of the activations of feature and neuron.
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
      The indices of the neurons, and their shares of the row's L1 norm.
    """
    size_A = np.abs(self.row_A.astype(np.float64))
    largest = np.argsort(-size_A, kind='stable')[:count]
    return largest, size_A[largest] / max(size_A.sum(), np.finfo(float).tiny)


@contextlib.contextmanager
def naming(f: Feature) -> Iterator[None]:
  """Prefixes the message of a ValueError with the feature's index."""
  try:
    yield
  except ValueError as e:
    raise ValueError(f'feature {f.index}: {e}') from e


def digits(x: Any) -> Any:
  """Converts a number or an array for JSON, with 4 significant digits.

  As in the published data, zeros are written as `0`.

  Raises:
    ValueError: a number is not finite, which JSON cannot represent.
  """
  return _digits(np.asarray(x).tolist())


def _digits(x: Any) -> Any:
  if isinstance(x, list):
    return [_digits(v) for v in x]
  if x == 0:
    return 0
  if not math.isfinite(x):
    raise ValueError(f'JSON cannot represent the number {x}')
  return float(f'{x:.4g}')


def encode(value: Any) -> bytes:
  """One line of ASCII JSON, in which lone surrogates survive as escapes."""
  text = json.dumps(value, allow_nan=False, separators=(',', ':'))
  return text.encode('ascii')
