"""Compares the best feature and the best neuron of each label.

`bests` finds them by four measures. The area under the ROC curve alone is
unfair to features, see `analysis.ranks`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from monosem_jax.analysis import intervals, labels, ranks
from monosem_jax.analysis.results.numbers import Interval, Reason
from monosem_jax.analysis.results.proxies import (
  BestNeuron,
  Difference,
  Found as FoundFeature,
  Sides,
  Versus,
  Wins,
)
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages.analysis.bests import MEASURES, Found, Told


def measured(
  measure: str, o: labels.Overlap[np.ndarray], threshold_K: np.ndarray
) -> np.ndarray:
  """Returns a measure of K pairs; NaN where it is not defined."""
  if measure == 'r':
    return labels.pearson(o)
  if measure == 'f1':
    f1_KI = ranks.f1(o.on_KB, o.off_KB)
    return np.take_along_axis(f1_KI, threshold_K[:, None], 1)[:, 0]
  return getattr(ranks, measure)(o.on_KB, o.off_KB)


def value(told: Told, measure: str) -> tuple[float, Interval]:
  """Returns a measure of one pair on the other half, and its interval."""
  of = lambda o: measured(measure, o, told.threshold_K)
  return float(of(told.whole())[0]), interval(told, of)


def interval(
  told: Told, of: Callable[[labels.Overlap[np.ndarray]], np.ndarray]
) -> Interval:
  """Returns the interval, over groups of documents, of one pair's measure."""
  return intervals.over_groups(
    told.sums(), lambda x: float(of(labels.Overlap(**x))[0])
  )


def difference(x: Told, y: Told, measure: str) -> tuple[float, Interval]:
  """Returns the mean difference of x's and y's pairs, and its interval.

  Each resample draws the same documents for both. Pairs without the measure are
  left out; NaN if none has it.
  """

  def mean(sums: Mapping[str, np.ndarray]) -> float:
    values = [
      measured(
        measure,
        labels.Overlap(**{k[2:]: v for k, v in sums.items() if k[0] == side}),
        told.threshold_K,
      )
      for side, told in (('x', x), ('y', y))
    ]
    apart_K = values[0] - values[1]
    apart_K = apart_K[np.isfinite(apart_K)]
    return float(apart_K.mean()) if apart_K.size else np.nan

  sums = x.sums('x_') | y.sums('y_')
  found = mean({k: v.sum(0) for k, v in sums.items()})
  return found, intervals.over_groups(sums, mean)


# A set, its search on one half, and its report on the other half.
Side = tuple[LoadedSet, Found, Told | None]


def of_label(sides: Sequence[Side], k: int) -> Versus | Reason:
  """Compares the best feature and neuron of a label by every measure.

  Args:
    sides: the features, and the neurons if they are a control.
    k: the number of the label.

  Returns:
    The measures of both, and their chance levels (for F1, the guess that all
    tokens have the label); or the reason why they cannot be compared.
  """
  pairs = [
    (told, at)
    for _, _, told in sides
    if told is not None
    for at in told.pairs
    if at[0] == k
  ]
  if not pairs:
    return Reason('no feature goes with it on the half that is searched')
  whole = pairs[0][0].of([pairs[0][1]]).whole()
  rate = float(labels.base_rate(whole)[0])
  if not 0 < rate < 1:
    return Reason('all or none of the tokens of the other half have it')
  return Versus(
    base_rate=rate,
    tokens=int(whole.on_KB.sum()),
    chance={
      'r': 0.0,
      'auc': 0.5,
      'average_precision': rate,
      'f1': 2 * rate / (1 + rate),
    },
    measures={m: _by(sides, k, m) for m in MEASURES},
  )


def _by(sides: Sequence[Side], k: int, measure: str) -> Sides:
  found: list[FoundFeature | None] = []
  both: list[Told] = []
  apart = None
  for s, searched, told in sides:
    i = searched.best(measure, k)
    if i is None or told is None:
      found.append(None)
      continue
    one = told.of([(k, i)])
    found_at = float(searched.value_LF[measure][k, i])
    found.append(FoundFeature(f'{s.name}/{i}', found_at, *value(one, measure)))
    both.append(one)
  if len(both) == 2:
    x, y = both
    apart = Difference(*difference(x, y, measure))
  feature, *neuron = found
  return Sides(feature, BestNeuron(neuron[0], apart) if neuron else None)


def wins(
  sides: Sequence[Side], entries: Mapping[str, tuple[int, Versus | Reason]]
) -> dict[str, Wins]:
  """Counts, by measure, the labels whose best feature beats the best neuron.

  Args:
    sides: features and neurons.
    entries: by label, its number and the result of `of_label`.
  """
  found = {}
  for measure in MEASURES:
    own: dict[str, tuple[int, float, Interval]] = {}
    for name, (k, entry) in entries.items():
      if isinstance(entry, Reason):
        continue
      apart = entry.measures[measure].apart
      if apart is None or apart.difference is None:
        continue
      if np.isfinite(apart.difference):
        own[name] = k, apart.difference, apart.difference_interval
    ends = [ends for _, _, ends in own.values() if ends is not None]
    mean, ends_of_mean = None, None
    if own:
      numbers = [k for k, _, _ in own.values()]
      x, y = (_bests(side, measure, numbers) for side in sides)
      mean, ends_of_mean = difference(x, y, measure)
    found[measure] = Wins(
      n=len(own),
      above=sum(x > 0 for _, x, _ in own.values()),
      clearly_above=sum(low > 0 for low, _ in ends),
      clearly_below=sum(high < 0 for _, high in ends),
      names=[name for name, (_, x, _) in own.items() if x > 0],
      mean_difference=mean,
      interval=ends_of_mean,
    )
  return found


def _bests(side: Side, measure: str, numbers: Sequence[int]) -> Told:
  """Returns a side's best features for labels that all have one."""
  _, searched, told = side
  assert told is not None, 'a label with a best feature has pairs'
  bests = [(k, searched.best(measure, k)) for k in numbers]
  return told.of([(k, i) for k, i in bests if i is not None])
