"""Feature tables as the plain values that the page reads.

Every number is exact or has 3 significant digits, more than a person reads
off a page. What is not finite becomes None, since JSON knows no infinity.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
  from monosem_jax.features.table import FeatureTable

# Most raised tokens that stand in for a feature in the list.
LIST_TOKENS = 4


def overview(
  table: 'FeatureTable', numbers: dict[str, Any] | None
) -> dict[str, Any]:
  """What the page knows of a dictionary before a feature is opened.

  Args:
    table: the features.
    numbers: its entry in report.json; None where it has none.

  Returns:
    `meta`, `groups` (each interval with the `fraction` of the sample's maximum
    that it lies at), `numbers`, and the list's columns by feature: `fired`
    (density is that over meta's tokens, and dead is 0), `max` and `top`, the
    tokens it raises most.
  """
  return {
    'meta': {k: v for k, v in table.meta.items() if k != 'groups'},
    'groups': _groups(table.meta['groups']),
    'numbers': numbers,
    'fired': table.fired_F.tolist(),
    'max': _short(table.max_F),
    'top': table.logit_top_ids_FL[:, :LIST_TOKENS].tolist(),
  }


def feature(table: 'FeatureTable', i: int) -> dict[str, Any]:
  """What the page shows of feature `i`.

  Returns:
    `sampled`, `sample_max`, `histogram`, `logit_histogram`, `logit_range`;
    `raised` and `lowered`, both [ids, logit weights]; and `examples`: None
    where there is none, else [context, position, index of its own token, token
    ids, activations], cut to the tokens that mean something.
  """
  return {
    'sampled': int(table.sampled_F[i]),
    'sample_max': _short(table.sample_max_F[i]),
    'histogram': table.histogram_FH[i].tolist(),
    'logit_histogram': table.logit_histogram_FH[i].tolist(),
    'logit_range': _short(table.logit_range_F2[i]),
    'raised': [
      table.logit_top_ids_FL[i].tolist(),
      _short(table.logit_top_FL[i]),
    ],
    'lowered': [
      table.logit_bottom_ids_FL[i].tolist(),
      _short(table.logit_bottom_FL[i]),
    ],
    'examples': _examples(table, i),
  }


def _examples(table: 'FeatureTable', i: int) -> list[list | None]:
  before = table.meta['before']
  found: list[list | None] = []
  for context, position, start, stop, tokens_W, acts_W in zip(
    table.example_context_FE[i].tolist(),
    table.example_position_FE[i].tolist(),
    table.example_start_FE[i].tolist(),
    table.example_stop_FE[i].tolist(),
    table.example_tokens_FEW[i],
    table.example_acts_FEW[i],
    strict=True,
  ):
    if start == stop:
      found.append(None)
      continue
    kept = slice(start, stop)
    ids, acts = tokens_W[kept].tolist(), _short(acts_W[kept])
    found.append([context, position, before - start, ids, acts])
  return found


def _groups(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Adds the level of each interval: 1 for the first, evenly down to 0."""
  intervals = [g['name'] for g in groups if 'Interval' in g['name']]
  last = len(intervals) - 1
  return [
    g | {'fraction': _digits(1 - intervals.index(g['name']) / last)}
    if g['name'] in intervals
    else g
    for g in groups
  ]


def _short(x: np.ndarray) -> Any:
  """A number, or a list of them, to 3 significant digits."""
  if np.ndim(x):
    return [_digits(v) for v in x.tolist()]
  return _digits(float(x))


def _digits(v: float) -> float | None:
  # Most activations are 0, and `0` is shorter than `0.0`.
  if v == 0:
    return 0
  return float(f'{v:.3g}') if math.isfinite(v) else None
