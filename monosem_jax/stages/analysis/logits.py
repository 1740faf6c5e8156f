"""The distribution of logit weights, and whether they predict ablations.

See `analysis.directions`. The feature tables hold each feature's largest and
smallest logit weights and their histogram.
"""

import pathlib

import jax
import numpy as np

from monosem_jax.analysis import directions, figures
from monosem_jax.analysis.results.features import Linear, Logits, SetLogits
from monosem_jax.device import mesh as meshes
from monosem_jax.features.moments import collect
from monosem_jax.run.files import write_arrays
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import AnalysisInputs, median
from monosem_jax.stages.analysis.sections import features

# Pairs of a feature and a token to ablate per batch.
_PAIRS = 64


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Logits:
  V = inputs.store.tokenizer.vocab_size
  known_V = np.zeros(V, bool)
  for (tokens_BT,) in inputs.batches('logits/vocabulary'):
    known_V[meshes.fetch(tokens_BT)] = True
  check = directions.make_check(inputs.dot, _PAIRS)
  key = jax.random.key(inputs.config.seed)
  by_name, tables = {}, {}
  for s in inputs.feature_sets():
    lm = inputs.lm(s.model)
    columns = directions.shape(lm, s.sae.W_dec_FA, known_V)
    tables[s.name] = columns | {'live_F': s.live_F}
    write_arrays(out / f'{s.key}.npz', tables[s.name])
    effects = None
    if lm.site_is_last:
      batches = (
        (tokens_BT, jax.random.fold_in(key, i))
        for i, (tokens_BT,) in enumerate(
          inputs.batches(f'logits/{s.key}', contexts=inputs.contexts // 4)
        )
      )
      args = lm, s.sae, directions.rows(lm, s.sae)
      linear = directions.agreement(collect(check, args, batches))
      effects = Linear(linear, linear.correlation)
    by_name[s.name] = SetLogits(
      median(columns['skew_F'][s.live_F]),
      median(columns['kurtosis_F'][s.live_F]),
      effects,
    )
  for key_, label in (
    ('skew', 'skew of the logit weights'),
    ('kurtosis', 'log10 of the kurtosis of the logit weights'),
  ):
    scale = np.log10 if key_ == 'kurtosis' else np.asarray
    figures.histogram(
      out / f'{key_}.png',
      {
        name: scale(columns[f'{key_}_F'][columns['live_F']])
        for name, columns in tables.items()
      },
      f'Live features, over the {int(known_V.sum()):,} tokens that occur; a '
      'normal distribution has skew 0 and kurtosis 3.',
      label,
    )
  return Logits(by_name)


ANALYSIS = Analysis(
  order=30,
  make=make,
  numbers=Logits,
  title='What features predict',
  asked='Are logit weights those of few tokens, and do they foretell what an '
  'ablation does?',
  answer=features.logits,
  picture='kurtosis.png',
  view='features',
)
