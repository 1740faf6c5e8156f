"""The columns of a feature table as the page reads them.

There are two kinds of packs. A set of features has one pack `columns`, for its
list, and shards with everything that the page shows of some features. In a
shard of n features, a column whose name ends in `_of` has n + 1 entries: they
tell where each feature's part of longer columns begins. Numbers that the page
only displays are float16, which keeps 3 digits.
"""

from typing import Any

import numpy as np

from monosem_jax.site import effects
from monosem_jax.site.exhibit import Contexts, Exhibit
from monosem_jax.site.pack import half

# Tokens that describe a feature in the list: of those that it raises most, and
# of those on which its top examples fire.
LIST_TOKENS = 4
FIRES_ON = 3
# The largest coefficients of a decoder row, as many as the paper published.
ALIGNED = 3


def columns(e: Exhibit) -> dict[str, np.ndarray]:
  """The columns of a set's list, F entries each.

  `fired` is the number of tokens that the feature fired on, `max` its largest
  activation, `state` its class (see `features.census.CLASSES`). `raises` has
  the tokens that it raises most. `fires` has the tokens on which its top
  examples fire, the most frequent first; if there are too few, the first one
  fills the rest.
  """
  t = e.features.table
  return {
    'fired': t.fired_F.astype(np.uint32),
    'max': t.max_F.astype(np.float32),
    'state': t.class_F,
    'raises': t.logit_top_ids_FL[:, :LIST_TOKENS],
    'fires': _fires_on(e),
  }


def _fires_on(e: Exhibit) -> np.ndarray:
  t = e.features.table
  top = slice(0, t.meta['groups'][0]['count'])
  own_FE = t.example_tokens_FEW[:, top, t.meta['before']].astype(np.int64)
  there_FE = t.example_stop_FE[:, top] > 0
  # The first of equal tokens stands for all of them and has their count.
  same_FEE = (own_FE[:, :, None] == own_FE[:, None]) & there_FE[:, None]
  count_FE = np.where(there_FE, same_FEE.sum(2), 0)
  first_FE = ~np.tril(same_FEE, -1).any(2)
  order_FE = np.argsort(-count_FE * first_FE, axis=1, kind='stable')
  order_Fk = order_FE[:, :FIRES_ON]
  found_Fk = np.take_along_axis(own_FE, order_Fk, 1)
  known_Fk = np.take_along_axis(count_FE * first_FE, order_Fk, 1) > 0
  return np.where(known_Fk, found_Fk, found_Fk[:, :1]).astype(np.uint16)


def shard(e: Exhibit, lo: int, hi: int) -> dict[str, np.ndarray]:
  """Everything that the page shows of the n features lo to hi, as columns."""
  t, rows = e.features.table, slice(lo, hi)
  found = {
    'sampled': t.sampled_F[rows].astype(np.uint32),
    'sample_max': t.sample_max_F[rows].astype(np.float32),
    'histogram': t.histogram_FH[rows].astype(np.uint32),
    'logit_histogram': t.logit_histogram_FH[rows].astype(np.uint32),
    'logit_range': t.logit_range_F2[rows].astype(np.float32),
    'raised_ids': t.logit_top_ids_FL[rows],
    'raised': half(t.logit_top_FL[rows]),
    'lowered_ids': t.logit_bottom_ids_FL[rows],
    'lowered': half(t.logit_bottom_FL[rows]),
  }
  found |= _examples(e, rows)
  found |= _links(e, lo, hi)
  if not e.features.is_neurons:
    found |= _alignment(e.features.rows_FA[rows])
  if e.neurons is not None:
    found |= {
      'neuron_ids': e.neurons.neuron_F3[rows].astype(np.uint16),
      'neuron_r': half(e.neurons.neuron_r_F3[rows]),
      'neuron_cosine': half(e.neurons.neuron_cosine_F3[rows]),
    }
  return found


def _examples(e: Exhibit, rows: slice) -> dict[str, np.ndarray]:
  """The features' examples, their tokens, and effects on these."""
  t, lo = e.features.table, rows.start
  start_nE = t.example_start_FE[rows].astype(np.int64)
  stop_nE = t.example_stop_FE[rows].astype(np.int64)
  n, E = start_nE.shape
  W = t.example_tokens_FEW.shape[2]
  w = np.arange(W)
  inside_nEW = (w >= start_nE[..., None]) & (w < stop_nE[..., None])
  there_nE = stop_nE > start_nE
  group_E = np.repeat(
    np.arange(len(t.meta['groups'])), [g['count'] for g in t.meta['groups']]
  )
  found = {
    'example_of': np.r_[0, np.cumsum(there_nE.sum(1))].astype(np.uint32),
    'group': np.broadcast_to(group_E, (n, E))[there_nE].astype(np.uint8),
    'context': t.example_context_FE[rows][there_nE],
    'position': t.example_position_FE[rows][there_nE],
    'own': (t.meta['before'] - start_nE)[there_nE].astype(np.uint8),
    'subset': e.subset_FE[rows][there_nE].astype(np.uint16),
    'token_of': np.r_[0, np.cumsum((stop_nE - start_nE)[there_nE])].astype(
      np.uint32
    ),
    'tokens': t.example_tokens_FEW[rows][inside_nEW],
    'acts': half(t.example_acts_FEW[rows][inside_nEW]),
  }
  if e.effects is None:
    return found
  at_M = e.effects.at_M
  own = slice(*np.searchsorted(at_M, [lo * E * W, (lo + n) * E * W]))
  number_X = np.cumsum(inside_nEW.reshape(-1)) - 1
  at_M = at_M[own] - lo * E * W
  # An effect may lie beyond the example's window, where no token is shown.
  shown_M = inside_nEW.reshape(-1)[at_M]
  return found | effects.columns(
    number_X[at_M[shown_M]],
    found['token_of'][found['example_of']].astype(np.int64),
    {k: x[own][shown_M] for k, x in e.effects.columns().items()},
  )


def _links(e: Exhibit, lo: int, hi: int) -> dict[str, np.ndarray]:
  of = e.links.of_F1[lo : hi + 1]
  own = slice(of[0], of[-1])
  return {
    'link_of': (of - of[0]).astype(np.uint32),
    'link_kind': e.links.kind_M[own],
    'link_set': e.links.set_M[own],
    'link_feature': e.links.feature_M[own],
    'link_value': half(e.links.value_M[own]),
  }


def _alignment(rows_nA: np.ndarray) -> dict[str, np.ndarray]:
  """The largest coefficients of decoder rows, and their shares of L1 norms."""
  size_nA = np.abs(rows_nA)
  at_nk = np.argsort(-size_nA, axis=1, kind='stable')[:, :ALIGNED]
  pick = lambda x: np.take_along_axis(x, at_nk, 1)
  total_n1 = size_nA.sum(1, keepdims=True)
  return {
    'aligned_ids': at_nk.astype(np.uint16),
    'aligned': half(pick(rows_nA)),
    'aligned_share': half(pick(size_nA) / np.where(total_n1 > 0, total_n1, 1)),
  }


def context_shard(c: Contexts, rows: slice) -> dict[str, np.ndarray]:
  """Contexts and the spans of documents in them, as columns."""
  of = c.span_of_C1[rows.start : rows.stop + 1]
  own = slice(of[0], of[-1])
  return {
    'tokens': c.tokens_CT[rows].astype(np.uint16),
    'span_of': (of - of[0]).astype(np.uint32),
    'span_position': c.position_S[own].astype(np.uint16),
    'span_document': c.document_S[own].astype(np.uint32),
    'span_subset': c.subset_S[own].astype(np.uint16),
    'span_offset': c.offset_S[own].astype(np.uint32),
  }


def groups(table_groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Adds `fraction` to each interval: its level as a share of the maximum.

  Levels go evenly from 1 for the first interval down to 0 for the last.
  """
  intervals = [g['name'] for g in table_groups if 'Interval' in g['name']]
  last = len(intervals) - 1
  return [
    g | {'fraction': round(1 - intervals.index(g['name']) / last, 3)}
    if g['name'] in intervals
    else g
    for g in table_groups
  ]
