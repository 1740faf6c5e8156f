"""Packs the effects of ablating features into few bytes.

A feature that fires often has mostly effects as its data: for each token of its
examples that it fires on, the k = 5 tokens whose logits ablation raises most,
and the k that it lowers most. A feature's effects are mostly on the same few
tokens, and their logits decay alike. These columns hold the M effects of n
features:

  effect_of            n + 1: where each feature's effects begin
  effect_gap           M: tokens since the previous effect, or since the
                       feature's first token
  effect_loss          M: change of the loss, in nats
  effect_raised_of     n + 1: where each feature's list of raised tokens begins
  effect_raised_ids    those lists, the most frequent token first
  effect_raised_place  (k, M): the raised tokens, the most raised first, as
                       places in the feature's list
  effect_raised_most   n: the largest change of a raised logit
  effect_raised_steps  (k, M): how far each change lies below the one before it
                       (the first: below the largest), in 16ths of an octave

Lowered tokens have the same columns. The steps keep a change to 2.2%. A change
255 steps below the largest, a factor of 63,000, becomes 0.
"""

from collections.abc import Mapping

import numpy as np

from monosem_jax.site.pack import half

_OCTAVE, _NOTHING = 16, 255


def columns(
  token_M: np.ndarray,
  first_n1: np.ndarray,
  effects: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
  """The columns above.

  Args:
    token_M: the numbers of the tokens that have an effect, rising.
    first_n1: the number of each feature's first token, and that of all tokens.
    effects: their arrays, as `analysis.ablation.ablate` returns them: of the k
      most raised and lowered tokens the most changed first.
  """
  of_n1 = np.searchsorted(token_M, first_n1)
  feature_M = np.repeat(np.arange(len(first_n1) - 1), np.diff(of_n1))
  before_M = np.r_[0, token_M[:-1]]
  gap_M = token_M - np.maximum(before_M, first_n1[feature_M])
  found = {
    'effect_of': of_n1.astype(np.uint32),
    'effect_gap': _narrow(gap_M),
    'effect_loss': half(effects['loss_M']),
  }
  for side, sign in (('raised', 1), ('lowered', -1)):
    changed_Mk = sign * effects[f'{side}_Mk'].astype(np.float32)
    most_n, steps_kM = _steps(changed_Mk, feature_M, len(first_n1) - 1)
    of_n1, ids, place_kM = _places(
      effects[f'{side}_ids_Mk'], feature_M, len(first_n1) - 1
    )
    found |= {
      f'effect_{side}_of': of_n1.astype(np.uint32),
      f'effect_{side}_ids': ids.astype(np.uint16),
      f'effect_{side}_place': _narrow(place_kM),
      f'effect_{side}_most': most_n,
      f'effect_{side}_steps': steps_kM.astype(np.uint8),
    }
  return found


def _narrow(x: np.ndarray) -> np.ndarray:
  """One byte each if that is enough, as it mostly is, else four.

  The page reads single bytes four times as fast. Pairs of bytes would compress
  worse: `pack` does not split them into planes.
  """
  return x.astype(np.uint8 if x.max(initial=0) < 256 else np.uint32)


def _places(
  ids_Mk: np.ndarray, feature_M: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Each feature's tokens, the most frequent first, and effects as places."""
  pair_Mk = feature_M[:, None] << 32 | ids_Mk.astype(np.int64)
  pairs, own_Mk, times = np.unique(
    pair_Mk, return_inverse=True, return_counts=True
  )
  feature, ids = pairs >> 32, pairs & 0xFFFF_FFFF
  order = np.lexsort((ids, -times, feature))
  of_n1 = np.searchsorted(feature, np.arange(n + 1))
  place = np.empty_like(order)
  place[order] = np.arange(order.size) - of_n1[feature]
  return of_n1, ids[order], place[own_Mk.reshape(ids_Mk.shape)].T


def _steps(
  changed_Mk: np.ndarray, feature_M: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
  """Each feature's largest change, and steps down from it."""
  most_n = np.zeros(n, np.float32)
  np.maximum.at(most_n, feature_M, changed_Mk[:, 0])
  there_Mk = changed_Mk > 0
  beneath_Mk = most_n[feature_M, None] / np.where(there_Mk, changed_Mk, np.inf)
  octaves_Mk = np.log2(
    beneath_Mk, where=there_Mk, out=np.zeros_like(changed_Mk)
  )
  down_Mk = np.minimum(np.rint(_OCTAVE * octaves_Mk), _NOTHING)
  down_Mk = np.where(there_Mk, down_Mk, _NOTHING)
  return most_n, np.diff(down_Mk, axis=1, prepend=0).T
