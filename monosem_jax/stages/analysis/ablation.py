"""What becomes of the next token without a feature, for all kept examples.

The paper's feature ablations; `analysis.ablation`.
"""

import pathlib

import numpy as np

from monosem_jax.analysis import ablation, figures
from monosem_jax.files import write_arrays
from monosem_jax.stages.analysis.bench import Bench, NotHere, Subject


def make(bench: Bench, out: pathlib.Path) -> dict:
  runs, centres = {}, {}
  # The neurons are the control that the paper compares features with; of other
  # controls there is nothing to be read token by token.
  chosen = [
    s
    for s in bench.subjects()
    if not s.is_control or s.name.endswith('_neurons')
  ]
  for s in chosen:
    lm = bench.lm(s.model)
    if not lm.site_is_last:
      raise NotHere(
        'layers follow the site of the transformer: a removal there is not one '
        'of each token alone, which is not built'
      )
    found = ablation.ablate(
      lm,
      s.sae,
      bench.dot,
      s.table,
      bench.fetch,
      bench.config.batch_size,
      bench.progress(f'ablation/{s.name}'),
    )
    write_arrays(out / f'{s.name}.npz', found)
    runs[s.run], centres[s.run] = _summary(s, found)
  figures.histogram(
    out / 'top_examples.png',
    centres,
    'By how much the loss of the token behind an example rises when a feature '
    'is taken away: examples of the top group and the five intervals below it; '
    'in brackets how many.',
    'change of the loss, nats',
    'share of examples',
    bins=np.linspace(-2, 4, 61),
  )
  return {'runs': runs}


# Groups of examples from the top down to half the maximum.
_UPPER = 6


def _summary(s: Subject, found: dict) -> tuple[dict, np.ndarray]:
  """Of the tokens behind examples on which the feature fires strongly."""
  F, E, W = s.table.example_tokens_FEW.shape
  groups = s.table.meta['groups'][: _UPPER + 1]
  upper = groups[-1]['start'] + groups[-1]['count']
  feature_M, example_M, at_M = np.unravel_index(found['at_M'], (F, E, W))
  # Window place `before` holds the example's token, the effect is behind it.
  own_M = at_M == s.table.meta['before'] + 1
  own_M &= (example_M < upper) & s.live_F[feature_M]
  loss_M = found['loss_M'][own_M].astype(np.float64)
  return {
    'ablation_pairs': int(found['at_M'].size),
    'ablation_examples': int(loss_M.size),
    'ablation_loss': float(loss_M.mean()) if loss_M.size else None,
    'ablation_hurts': float((loss_M > 0).mean()) if loss_M.size else None,
  }, loss_M
