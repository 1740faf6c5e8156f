"""The feature table: statistics and examples of every feature, as files.

`table.safetensors` holds the arrays of `FeatureTable`, and `meta.json`
describes where they come from. This module needs only numpy, so that its
readers start without jax.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.features.census import LIVE
from monosem_jax.run.files import (
  read_json,
  read_tensors,
  write_json,
  write_tensors,
)

TABLE, META = 'table.safetensors', 'meta.json'

# Number of bins of both histograms, as published.
BINS = 40
# Number of intervals from the maximum to 0, as published.
INTERVALS = 11


@dataclasses.dataclass(frozen=True)
class FeatureTable:
  """Statistics and examples of the F features of a dictionary.

  An example is a window of W tokens around its own token, which is at index
  `before`. Windows are cut at the ends of their context, so only entries from
  `example_start_FE` up to `example_stop_FE` are valid. Both are 0 for missing
  examples. Examples are arranged in groups, see `groups`.

  Attributes:
    fired_F: number of tokens on which the feature fired, int64.
    class_F: class of the feature, an index into `census.CLASSES`, uint8.
    cosine_F: cosine of its encoder column with its decoder row.
    max_F: its largest activation over all tokens.
    sampled_F: number of activations in the random sample of its firings, int32.
    sample_max_F: largest activation in the sample. The histogram and the
      intervals range from 0 to it.
    histogram_FH: histogram of the sample in 40 bins, int32.
    example_tokens_FEW: token ids of the examples, uint16.
    example_acts_FEW: activations of the feature on these tokens, float16.
    example_start_FE: first valid index of each window, uint8.
    example_stop_FE: end of the valid indices of each window, uint8.
    example_context_FE: index of the context in the token store, int32.
    example_position_FE: position of the example's own token in it, uint16.
    logit_top_ids_FL: the 10 tokens with the largest logit weights.
    logit_top_FL: their logit weights, minus the median over the vocabulary.
    logit_bottom_ids_FL: the 10 tokens with the smallest logit weights.
    logit_bottom_FL: their logit weights, minus the median over the vocabulary.
    logit_histogram_FH: histogram of logit weights over the vocabulary in 40
      bins, int32.
    logit_range_F2: left and right edge of that histogram.
    meta: a dictionary of

      run: name of the run, such as A/1.
      model: name of the transformer.
      features: number of features.
      tokens: number of tokens of the pass.
      split: split of the corpus.
      manifest: hash of the token store.
      census: result of `census.numbers`.
      before: tokens in a window before the example's own token.
      after: tokens in a window after it.
      groups: result of `groups`.
      lost_samples: number of sampled activations that were lost.
  """

  fired_F: np.ndarray
  class_F: np.ndarray
  cosine_F: np.ndarray
  max_F: np.ndarray
  sampled_F: np.ndarray
  sample_max_F: np.ndarray
  histogram_FH: np.ndarray
  example_tokens_FEW: np.ndarray
  example_acts_FEW: np.ndarray
  example_start_FE: np.ndarray
  example_stop_FE: np.ndarray
  example_context_FE: np.ndarray
  example_position_FE: np.ndarray
  logit_top_ids_FL: np.ndarray
  logit_top_FL: np.ndarray
  logit_bottom_ids_FL: np.ndarray
  logit_bottom_FL: np.ndarray
  logit_histogram_FH: np.ndarray
  logit_range_F2: np.ndarray
  meta: dict[str, Any]

  @property
  def density_F(self) -> np.ndarray:
    """The share of tokens on which each feature fired, float64."""
    return self.fired_F / self.meta['tokens']

  @property
  def live_F(self) -> np.ndarray:
    """Whether each feature is live."""
    return self.class_F == LIVE

  def part(self, rows: np.ndarray) -> 'FeatureTable':
    """The features with these indices."""
    own = {name: getattr(self, name)[rows] for name in _arrays()}
    return FeatureTable(**own, meta=self.meta)

  def save(self, directory: pathlib.Path) -> None:
    """Writes both files; `meta.json` is last and marks the table complete."""
    write_tensors(directory / TABLE, {n: getattr(self, n) for n in _arrays()})
    write_json(directory / META, self.meta)

  @classmethod
  def load(cls, directory: pathlib.Path) -> 'FeatureTable':
    """Reads a table.

    Raises:
      UserError: a file is missing or damaged.
    """
    meta = read_json(directory / META)
    found = read_tensors(directory / TABLE)
    missing = [name for name in _arrays() if name not in found]
    if missing:
      raise UserError(
        f'{directory / TABLE}: the array {missing[0]} is missing.'
      )
    return cls(**{name: found[name] for name in _arrays()}, meta=meta)


def _arrays() -> list[str]:
  names = [field.name for field in dataclasses.fields(FeatureTable)]
  return [name for name in names if name != 'meta']


def groups(top: int, per_interval: int, bottom: int) -> list[dict[str, Any]]:
  """The groups of examples in order, with `name`, `start` and `count`.

  The names are the paper's. Interval k holds activations close to (10 - k) / 10
  of the sample's maximum.
  """
  sizes = [('Top Activations', top)]
  sizes += [(f'Subsample Interval {k}', per_interval) for k in range(INTERVALS)]
  sizes += [('Bottom Activations', bottom)]
  found, start = [], 0
  for name, count in sizes:
    found.append({'name': name, 'start': start, 'count': count})
    start += count
  return found
