"""The effect of ablating a feature on the next token, for all kept examples.

These are the paper's feature ablations, see `analysis.ablation`. For the same
tokens, `analysis.residual` computes the loss without what the dictionary leaves
unexplained. Neurons leave nothing unexplained.
"""

import pathlib

import numpy as np

from monosem_jax.analysis import ablation, figures, intervals, residual
from monosem_jax.analysis.results.arrays import AblationEffects, Residuals
from monosem_jax.analysis.results.features import (
  Ablation,
  Residual,
  SetAblation,
)
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import AnalysisInputs, Unavailable
from monosem_jax.stages.analysis.sections import effects
from monosem_jax.transformer.model import next_token_loss


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Ablation:
  by_name, centres = {}, {}
  # The paper compares features with neurons. Other controls have no examples
  # worth reading.
  chosen = [
    s for s in inputs.feature_sets() if not s.is_control or s.is_neurons
  ]
  for s in chosen:
    lm = inputs.lm(s.model)
    if not lm.site_is_last:
      raise Unavailable(
        'layers follow the site of the transformer: a removal there is not one '
        'of each token alone, which is not built'
      )
    found = ablation.ablate(
      lm,
      s.sae,
      inputs.dot,
      s.table,
      inputs.fetch,
      inputs.config.batch_size,
      inputs.progress(f'ablation/{s.key}'),
    )
    found.save(out / f'{s.key}.npz')
    left_over = None
    if not s.is_control:
      rest = _residual(inputs, s)
      rest.save(out / f'{s.key}_residual.npz')
      rest_CT = rest.residual_CT[:, 1:].astype(np.float64)
      left_over = Residual(rest_CT.mean() if rest_CT.size else None)
    by_name[s.name], centres[s.name] = _summary(s, found, left_over)
  figures.histogram(
    out / 'top_examples.png',
    centres,
    'By how much the loss of the token after an example rises when a feature '
    'is taken away: examples of the top group and the five intervals below it; '
    'in brackets how many.',
    'change of the loss, nats',
    'share of examples',
    bins=np.linspace(-2, 4, 61),
  )
  return Ablation(by_name)


def _residual(inputs: AnalysisInputs, s: LoadedSet) -> Residuals:
  """Returns the losses of all contexts that hold an example."""
  return residual.residual(
    _losses,
    inputs.lm(s.model),
    s.sae,
    inputs.dot,
    s.table.example_context_FE[s.table.example_stop_FE > 0],
    inputs.fetch,
    inputs.config.batch_size,
    inputs.progress(f'residual/{s.key}'),
  )


def _losses(lm, tokens_BT, patch):
  return next_token_loss(lm(tokens_BT, patch)[0], tokens_BT)


# Groups of examples from the top down to half the maximum.
_UPPER = 6


def _summary(
  s: LoadedSet, found: AblationEffects, left_over: Residual | None
) -> tuple[SetAblation, np.ndarray]:
  """Summarises the effects on the tokens after strong firings of a feature."""
  F, E, W = s.table.example_tokens_FEW.shape
  groups = s.table.meta['groups'][: _UPPER + 1]
  upper = groups[-1]['start'] + groups[-1]['count']
  feature_M, example_M, at_M = np.unravel_index(found.at_M, (F, E, W))
  # Window position `before` is the example's token; the effect is on the next.
  own_M = at_M == s.table.meta['before'] + 1
  own_M &= (example_M < upper) & s.live_F[feature_M]
  loss_M = found.loss_M[own_M].astype(np.float64)
  return SetAblation(
    ablation_pairs=int(found.at_M.size),
    ablation_examples=int(loss_M.size),
    ablation_loss=float(loss_M.mean()) if loss_M.size else None,
    ablation_loss_interval=_over_features(feature_M[own_M], loss_M),
    ablation_hurts=float((loss_M > 0).mean()) if loss_M.size else None,
    ablation_hurts_interval=_over_features(feature_M[own_M], loss_M > 0),
    residual=left_over,
  ), loss_M


def _over_features(feature_M: np.ndarray, value_M: np.ndarray):
  """Returns the interval, over features, of a mean over examples."""
  _, at_M = np.unique(feature_M, return_inverse=True)
  sums = {
    'value': np.bincount(at_M, value_M),
    'examples': np.bincount(at_M).astype(np.float64),
  }
  return intervals.over_groups(sums, lambda s: s['value'] / s['examples'])


ANALYSIS = Analysis(
  order=40,
  make=make,
  numbers=Ablation,
  title='What is lost without a feature',
  asked='By how much does the loss of the next token rise where a feature that '
  'fires strongly is taken away?',
  answer=effects.ablation,
  picture='top_examples.png',
  view='features',
)
