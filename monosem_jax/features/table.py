"""The feature table: what a pass found of every feature, as files.

`table.safetensors` holds the arrays of `FeatureTable`, `meta.json` what they
are of. This module needs numpy alone, so that readers start without jax.
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

# Bars of both histograms, and groups between maximum and 0, as published.
BINS = 40
INTERVALS = 11


@dataclasses.dataclass(frozen=True)
class FeatureTable:
  """Statistics and examples of the F features of a dictionary.

  An example is a window of W tokens around its own token, which stands at
  `before`. Windows are cut at the ends of their context: only entries from
  `example_start` up to `example_stop` mean something, and both are 0 where
  there is no example. Examples lie in groups, see `groups`.

  Attributes:
    fired_F: tokens the feature fired on, int64.
    class_F: what each feature is, a place in `census.CLASSES`, uint8.
    cosine_F: of each encoder column with its decoder row.
    max_F: largest activation of all tokens.
    sampled_F: activations in the random sample of its firings, int32.
    sample_max_F: the largest of them: right edge of the histogram, from 0, and
      what the intervals divide.
    histogram_FH: the sample in 40 bins, int32.
    example_tokens_FEW: token ids, uint16.
    example_acts_FEW: the feature's activation on each, float16.
    example_start_FE, example_stop_FE: uint8.
    example_context_FE: number of the context in the token store, int32.
    example_position_FE: position of the example's token in it, uint16.
    logit_top_ids_FL, logit_top_FL: the 10 tokens it raises most, and by how
      much (logit weights, the median over the vocabulary at 0).
    logit_bottom_ids_FL, logit_bottom_FL: those it lowers most.
    logit_histogram_FH: logit weights over the vocabulary in 40 bins, int32.
    logit_range_F2: their left and right edge.
    meta: `run` (A/1), `model`, `features`, `tokens` (of the pass), `split`,
      `manifest` (hash of the token store), `census` (the numbers of
      `census.numbers`), `before`, `after`, `groups`, and
      what the pass could not keep (`lost_samples`).
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
    """Fraction of the tokens that each feature fired on, float64."""
    return self.fired_F / self.meta['tokens']

  @property
  def live_F(self) -> np.ndarray:
    """The features that are compared with others."""
    return self.class_F == LIVE

  def part(self, rows: np.ndarray) -> 'FeatureTable':
    """The features with these numbers alone."""
    own = {name: getattr(self, name)[rows] for name in _arrays()}
    return FeatureTable(**own, meta=self.meta)

  def save(self, directory: pathlib.Path) -> None:
    """Writes both files, `meta.json` last: with it the table is whole."""
    write_tensors(directory / TABLE, {n: getattr(self, n) for n in _arrays()})
    write_json(directory / META, self.meta)

  @classmethod
  def load(cls, directory: pathlib.Path) -> 'FeatureTable':
    """Reads a table.

    Raises:
      UserError: a file is missing or is not whole.
    """
    meta = read_json(directory / META)
    found = read_tensors(directory / TABLE)
    missing = [name for name in _arrays() if name not in found]
    if missing:
      raise UserError(f'{directory / TABLE}: holds no {missing[0]}.')
    return cls(**{name: found[name] for name in _arrays()}, meta=meta)


def _arrays() -> list[str]:
  names = [field.name for field in dataclasses.fields(FeatureTable)]
  return [name for name in names if name != 'meta']


def groups(top: int, per_interval: int, bottom: int) -> list[dict[str, Any]]:
  """The groups of examples in order: name, first example, number of examples.

  The paper's own names: interval k holds activations close to
  (10 - k) / 10 of the sample's maximum.
  """
  sizes = [('Top Activations', top)]
  sizes += [(f'Subsample Interval {k}', per_interval) for k in range(INTERVALS)]
  sizes += [('Bottom Activations', bottom)]
  found, start = [], 0
  for name, count in sizes:
    found.append({'name': name, 'start': start, 'count': count})
    start += count
  return found
