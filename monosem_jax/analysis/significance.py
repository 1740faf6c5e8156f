"""How many machines chance makes, and which of those found it would not.

A statement is tested of every tuple of n distinct live features at once: that
they are a machine of a kind. Its statistic is the weakest edge of the machine
if the search finds one, otherwise 0. The null hypothesis: the rows of logit
weights belong to no feature in particular. Under it, permuting the rows among
live features (`machines.shuffled`) changes nothing, so the p-value of a tuple
is the share of all tuples of all permutations whose statistic is at least as
large. Benjamini and Hochberg's (1995) q-values are over all tuples, also those
in which nothing was found. Tuples share edges, so that the tests are not
independent; the procedure holds under positive dependence.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Test:
  """Machines of one kind and size against those of permuted rows.

  Attributes:
    p_R, q_R: of each machine: p-value and q-value, the smallest false discovery
      rate at which it is kept.
    null_P: machines found in each permutation.
    expected_R: machines of a permutation that are at least as strong, on
      average.
  """

  p_R: np.ndarray
  q_R: np.ndarray
  null_P: np.ndarray
  expected_R: np.ndarray


def tuples(features: int, n: int, turns: int) -> float:
  """How many tuples of n distinct features there are.

  Args:
    features: that take part.
    n: of a tuple.
    turns: of one tuple that are the same machine: n of a cycle, 1 of a chain.
  """
  return math.perm(features, n) / turns


def against(
  weakest_R: Sequence[float],
  null_weakest: Sequence[Sequence[float]],
  tests: float,
) -> Test:
  """Tests the machines of one kind and size.

  Args:
    weakest_R: the weakest edge of each that was found.
    null_weakest: the same of each permutation.
    tests: tuples there are, see `tuples`.
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
  """q-values: the smallest false discovery rate at which each is rejected.

  Args:
    p_R: p-values; those of other tests count as 1.
    tests: how many there are in all, at least R.
  """
  order = np.argsort(p_R, kind='stable')
  rank = np.arange(1, len(p_R) + 1)
  q_R = np.minimum.accumulate((p_R[order] * tests / rank)[::-1])[::-1]
  found_R = np.empty(len(p_R))
  found_R[order] = np.minimum(q_R, 1)
  return found_R
