"""95% bootstrap intervals (percentiles of resamples).

They resample independent units: features, or groups of documents, for which
sums are kept. Every interval is reported with its unit.
"""

from collections.abc import Callable, Mapping

import numpy as np

# Number of resamples.
DRAWS = 1_000
# Percentiles at the ends of an interval.
ENDS = (2.5, 97.5)


def of(
  values_N: np.ndarray,
  statistic: Callable[..., np.ndarray] = np.median,
  seed: int = 0,
) -> tuple[float, float] | None:
  """The interval of a statistic over N independent values, such as features.

  Args:
    values_N: the values; those that are not finite are ignored.
    statistic: `statistic(values_DN, axis=1)`, such as np.median or np.mean.
    seed: random seed of the resamples.

  Returns:
    The ends of the interval; None for fewer than two values.
  """
  x_N = np.asarray(values_N, np.float64)
  x_N = x_N[np.isfinite(x_N)]
  if x_N.size < 2:
    return None
  rng = np.random.default_rng(seed)
  # Resamples are drawn in blocks of about 8 million numbers.
  block = max(8_000_000 // x_N.size, 1)
  found = [
    statistic(x_N[rng.integers(x_N.size, size=(n, x_N.size))], axis=1)
    for n in _blocks(DRAWS, block)
  ]
  return _ends(np.concatenate(found))


def over_groups(
  sums: Mapping[str, np.ndarray],
  statistic: Callable[[Mapping[str, np.ndarray]], float | None],
  seed: int = 0,
) -> tuple[float, float] | None:
  """The interval of a statistic of sums over groups of documents.

  Groups are drawn with replacement and their sums are added. This gives
  intervals for ratios, losses and correlations alike.

  Args:
    sums: arrays with a leading axis of G groups.
    statistic: computes the statistic from the same arrays summed over groups;
      None if it is undefined.
    seed: random seed of the resamples.

  Returns:
    The ends of the interval; None for fewer than two groups, or if the
    statistic is undefined in 10% of the resamples or more.
  """
  G = len(next(iter(sums.values())))
  if G < 2:
    return None
  rng, found = np.random.default_rng(seed), []
  for n in _blocks(DRAWS, max(8_000_000 // G, 1)):
    weight_DG = rng.multinomial(G, np.full(G, 1 / G), size=n)
    drawn = {k: np.tensordot(weight_DG, x, 1) for k, x in sums.items()}
    found += [statistic({k: x[d] for k, x in drawn.items()}) for d in range(n)]
  known = np.array([x for x in found if x is not None and np.isfinite(x)])
  return _ends(known) if known.size > 0.9 * DRAWS else None


def _ends(found_D: np.ndarray) -> tuple[float, float]:
  low, high = np.percentile(found_D, ENDS)
  return float(low), float(high)


def _blocks(total: int, size: int) -> list[int]:
  return [min(size, total - start) for start in range(0, total, size)]
