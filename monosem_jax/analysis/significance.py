"""Tests which machines are unlikely to arise by chance.

For every tuple of n distinct live features, we test whether it is a machine of
a given kind. The test statistic is the weight of the machine's weakest edge if
the search finds one, otherwise 0. The null hypothesis is that the rows of logit
weights are assigned to features at random. Under it, permuting rows among live
features (`machines.shuffled`) changes nothing. So a tuple's p-value is the
share of all tuples of all permutations whose statistic is at least as large.
The q-values of Benjamini and Hochberg (1995) are over all tuples, including
those in which nothing was found. Tuples share edges, so the tests are not
independent; the procedure is valid under positive dependence.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Test:
  """Machines of one kind and size, tested against those of permuted rows.

  Attributes:
    p_R: p-value of each machine.
    q_R: q-value of each machine, the smallest false discovery rate at which it
      is significant.
    null_P: number of machines in each permutation.
    expected_R: mean number of machines per permutation that are at least as
      strong as each machine.
  """

  p_R: np.ndarray
  q_R: np.ndarray
  null_P: np.ndarray
  expected_R: np.ndarray


def tuples(features: int, n: int, turns: int) -> float:
  """How many tuples of n distinct features there are.

  Args:
    features: number of features to choose from.
    n: number of features of a tuple.
    turns: number of tuples that are the same machine: n for a cycle, 1 for a
      chain.
  """
  return math.perm(features, n) / turns


def against(
  weakest_R: Sequence[float],
  null_weakest: Sequence[Sequence[float]],
  tests: float,
) -> Test:
  """Tests the machines of one kind and size.

  Args:
    weakest_R: weight of the weakest edge of each machine.
    null_weakest: the same for the machines of each permutation.
    tests: number of tuples, see `tuples`.
  """
  found_R, P = np.asarray(weakest_R, np.float64), len(null_weakest)
  null = np.sort(np.concatenate([np.zeros(0), *map(np.asarray, null_weakest)]))
  reached_R = null.size - np.searchsorted(null, found_R)
  p_R = (1 + reached_R) / (1 + P * tests)
  return Test(
    p_R=p_R,
    q_R=benjamini_hochberg(p_R, tests),
    null_P=np.array([len(x) for x in null_weakest]),
    expected_R=reached_R / max(P, 1),
  )


def benjamini_hochberg(p_R: np.ndarray, tests: float) -> np.ndarray:
  """q-values: the smallest false discovery rate at which each test is rejected.

  Args:
    p_R: the p-values below 1; all other tests have a p-value of 1.
    tests: total number of tests, at least R.
  """
  order = np.argsort(p_R, kind='stable')
  rank = np.arange(1, len(p_R) + 1)
  q_R = np.minimum.accumulate((p_R[order] * tests / rank)[::-1])[::-1]
  found_R = np.empty(len(p_R))
  found_R[order] = np.minimum(q_R, 1)
  return found_R
