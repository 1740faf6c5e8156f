"""Describes a feature by the tokens it fires on and those it predicts."""

import numpy as np

from monosem_jax.analysis.results.features import Words
from monosem_jax.features.featureset import FeatureSet
from monosem_jax.stages.analysis.inputs import AnalysisInputs


def described(inputs: AnalysisInputs, s: FeatureSet, feature: int) -> Words:
  """Returns the most frequent tokens of its top examples and its top logits."""
  table, strings = s.table, inputs.vocabulary
  top = table.meta['groups'][0]['count']
  there_E = table.example_stop_FE[feature, :top] > 0
  own_E = table.example_tokens_FEW[feature, :top, table.meta['before']]
  ids, counts = np.unique(own_E[there_E], return_counts=True)
  order = np.argsort(-counts, kind='stable')
  return Words(
    fires_on=[strings[i] for i in ids[order][:8]],
    predicts=[strings[i] for i in table.logit_top_ids_FL[feature]],
  )
