"""Packs the effects of ablating features into few bytes.

Effects are most of the data of a feature that fires often: five raised and five
lowered tokens for each token of its examples that it fires on. They are mostly
the same few tokens, and their logits decay alike. So n features with M effects
in all have these columns:

  effect_of            n + 1: where each feature's effects begin
  effect_gap           M: tokens since the effect before, or since the feature's
                       first token
  effect_loss          M: nats
  effect_raised_of     n + 1: where each feature's list of tokens begins
  effect_raised_ids    those lists, the most frequent token first
  effect_raised_place  (k, M): places in the list, of the most raised token, ...
  effect_raised_most   n: the largest of the feature's raised logits
  effect_raised_steps  (k, M): 16ths of an octave beneath that, of the most
                       raised token; beneath the token before, of the others

and so for lowered ones. A changed logit is thus kept to 2.2%; 255 steps beneath
the largest, a factor of 63,000, are 0.
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
    token_M: the tokens of n features that have an effect, rising.
    first_n1: each feature's first token; at last the number of all.
    effects: arrays of `analysis.ablation.ablate` of them; the k most raised and
      lowered tokens with the most changed first.
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
  """In one byte each where that is enough, as it mostly is: read four times as
  fast. Two would not be taken apart for gzip, see `pack`."""
  return x.astype(np.uint8 if x.max(initial=0) < 256 else np.uint32)


def _places(
  ids_Mk: np.ndarray, feature_M: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Each feature's tokens, the most frequent first, and places among them."""
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
