"""Warnings that a reader of the page needs."""

from collections.abc import Iterator

import numpy as np

from monosem_jax.features.census import why_not_ultralow
from monosem_jax.paper import ULTRALOW_TOKENS
from monosem_jax.site.exhibit import Exhibit

# A run is warned of if more than this share of its live features is affected.
_MANY = 0.1
# A feature is affected if more than this share of its top examples is.
_MOST = 0.5


def warnings(e: Exhibit) -> list[str]:
  """What may mislead a reader of a set of features, a sentence each."""
  return list(_warnings(e))


def _warnings(e: Exhibit) -> Iterator[str]:
  t = e.features.table
  live = max(int(t.live_F.sum()), 1)
  tokens = t.meta['tokens']
  top = slice(0, t.meta['groups'][0]['count'])
  there_FE = t.example_stop_FE[:, top] > 0
  position_FE = t.example_position_FE[:, top]
  first_F = _mostly((position_FE == 0) & there_FE, there_FE) & t.live_F
  if first_F.sum() / live > _MANY:
    yield (
      f'{first_F.sum():,} of {live:,} live features have most of their top '
      'examples at position 0, where a context begins: they may respond to '
      'that cut instead of the text.'
    )
  document_FE = np.where(there_FE, e.document_FE[:, top], -1)
  same_FE = (document_FE == _mode(document_FE)[:, None]) & there_FE
  one_F = _mostly(same_FE, there_FE) & t.live_F & (there_FE.sum(1) > 2)
  if one_F.sum() / live > _MANY:
    yield (
      f'{one_F.sum():,} of {live:,} live features have most of their top '
      'examples in one document: they may respond to that text alone.'
    )
  if tokens < ULTRALOW_TOKENS:
    yield (
      f'{why_not_ultralow(tokens)}. "Dead" and "rare" therefore describe this '
      'sample alone.'
    )
  if t.meta.get('lost_samples'):
    yield (
      f'{t.meta["lost_samples"]:,} sampled activations did not fit and are '
      'missing from the histograms.'
    )


def _mostly(true_FE: np.ndarray, there_FE: np.ndarray) -> np.ndarray:
  return true_FE.sum(1) > _MOST * np.maximum(there_FE.sum(1), 1)


def _mode(x_FE: np.ndarray) -> np.ndarray:
  """The most frequent entry of each row; -1 only if there is no other."""
  same_FE = (x_FE[:, :, None] == x_FE[:, None]).sum(2)
  at_F = np.where(x_FE < 0, 0, same_FE).argmax(1)
  return x_FE[np.arange(len(x_FE)), at_F]
