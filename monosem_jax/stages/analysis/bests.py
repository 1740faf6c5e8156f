"""The best feature of a set for each label, by four measures.

The best feature is chosen on one half of the documents and reported on the
other, see `AnalysisInputs.halves`. The threshold of F1 is chosen on the first
half, too.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import labels, ranks
from monosem_jax.features import moments
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages.analysis.documents import GROUPS
from monosem_jax.stages.analysis.inputs import (
  AnalysisInputs,
  activations,
  part,
)

MEASURES = ('r', 'auc', 'average_precision', 'f1')
# The number of activation intervals, as on the paper's pages, and how much
# finer the intervals are in the search and in the report.
INTERVALS = 11
_SEARCHED, _TOLD = 3, 12

# All labels of tokens, `(tokens_BT, context_B) -> on_BTL`.
Labels = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Found:
  """The measures of features against L labels, on the first half.

  Attributes:
    value_LF: the values by measure.
    threshold_LF: the edge, by number, of the best F1.
  """

  value_LF: Mapping[str, np.ndarray]
  threshold_LF: np.ndarray

  def best(self, measure: str, k: int) -> int | None:
    """Returns the best feature for a label, or None."""
    value_F = self.value_LF[measure][k]
    if not (value_F > 0).any():
      return None
    return int(np.nanargmax(value_F))


@dataclasses.dataclass(frozen=True)
class Told:
  """Pairs of a label and a feature of a set, on the other half.

  Attributes:
    own: the set of features.
    pairs: maps (label, feature) to the index K of the pair.
    overlap: sums by group of documents: on_GKB, ...
    threshold_K: the edge, by number, of the best F1 on the first half.
  """

  own: LoadedSet
  pairs: Mapping[tuple[int, int], int]
  overlap: labels.Overlap[np.ndarray]
  threshold_K: np.ndarray

  def of(self, pairs: Sequence[tuple[int, int]]) -> 'Told':
    """Returns some of the pairs, in that order."""
    at = [self.pairs[pair] for pair in pairs]
    return dataclasses.replace(
      self,
      pairs={pair: k for k, pair in enumerate(pairs)},
      overlap=jax.tree.map(lambda x: x[:, at], self.overlap),
      threshold_K=self.threshold_K[at],
    )

  def sums(self, prefix: str = '') -> dict[str, np.ndarray]:
    """Returns the sums as `intervals.over_groups` takes them."""
    return {prefix + k: x for k, x in vars(self.overlap).items()}

  def whole(self) -> labels.Overlap[np.ndarray]:
    """Returns the sums over all groups."""
    return jax.tree.map(lambda x: x.sum(0), self.overlap)


def find(
  inputs: AnalysisInputs,
  s: LoadedSet,
  labels_of: Labels,
  r_FL: np.ndarray,
) -> Found:
  """Measures all features of a set against all labels, by blocks of features.

  Args:
    inputs: the inputs of the analyses.
    s: the set.
    labels_of: returns the labels of tokens.
    r_FL: Pearson's r on the first half.
  """
  of = activations(inputs.dot)

  def ranked(args, batch):
    lm, sae, edges_FI = args
    f_NF = of((lm, sae), batch)
    return f_NF, batch[1].reshape(len(f_NF), -1), edges_FI

  F, L = r_FL.shape
  edges_FI = ranks.edges(s.table.max_F, INTERVALS * _SEARCHED)
  step = ranks.make_ranks(ranked, inputs.dot)
  value_LF = {k: np.full((L, F), np.nan) for k in MEASURES[1:]}
  threshold_LF = np.zeros((L, F), np.int32)
  for own in moments.blocks(
    F, L + 1, edges_FI.shape[1] + 1, inputs.config.block_bytes
  ):
    count_LFB = moments.collect(
      step,
      (inputs.lm(s.model), part(s.sae, own), jnp.asarray(edges_FI[own])),
      inputs.batches(f'ranks/{s.key}', lambda *x: (labels_of(*x),), half=0),
    )
    on_LFB, off_LFB = ranks.parts(count_LFB)
    f1_LFI = ranks.f1(on_LFB, off_LFB)
    value_LF['auc'][:, own] = ranks.auc(on_LFB, off_LFB)
    value_LF['average_precision'][:, own] = ranks.average_precision(
      on_LFB, off_LFB
    )
    value_LF['f1'][:, own] = f1_LFI.max(-1)
    threshold_LF[:, own] = f1_LFI.argmax(-1)
  return Found({'r': r_FL.T, **value_LF}, threshold_LF)


def tell(
  inputs: AnalysisInputs,
  s: LoadedSet,
  labels_of: Labels,
  found: Found,
) -> Told | None:
  """Reports the best feature of each label and measure on the other half.

  None if no label has a best feature.
  """
  best = [
    (k, found.best(measure, k))
    for measure in MEASURES
    for k in range(len(found.threshold_LF))
  ]
  pairs = sorted({(k, i) for k, i in best if i is not None})
  if not pairs:
    return None
  which, features = (np.array(x) for x in zip(*pairs, strict=True))
  of, split = activations(inputs.dot), inputs.config.split

  def pair(args, batch):
    f_NK = of(args, batch)
    return f_NK, batch[1].reshape(f_NK.shape), batch[2].reshape(-1)

  overlap = moments.collect(
    labels.make_step(
      pair,
      ranks.edges(s.table.max_F[features], INTERVALS * _TOLD),
      GROUPS,
    ),
    (inputs.lm(s.model), part(s.sae, features)),
    inputs.batches(
      f'versus/{s.key}',
      lambda tokens_BT, context_B: (
        labels_of(tokens_BT, context_B)[..., which],
        inputs.groups(split, context_B),
      ),
      half=1,
    ),
  )
  finer = _TOLD // _SEARCHED
  return Told(
    s,
    {pair: k for k, pair in enumerate(pairs)},
    overlap,
    finer * found.threshold_LF[which, features],
  )
