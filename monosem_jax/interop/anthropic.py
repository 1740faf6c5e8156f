"""Features in the form in which Anthropic published those of run A/1.

A file for each feature that ever fired, `{number}.json`, with the published
names, order, lengths and 4 significant digits. What the published data leave
to be guessed was read off them:

- `loss_ablation` is the loss without the feature minus the loss with it: where
  the feature helped, ablation lowers the likelihood, and the number is
  positive (the paper's page underlines that in blue). It stands at the token
  whose loss it is, one after the token that the feature fires on.
- `top_logit_ablation_*` are the logits that rise most without the feature,
  `bottom_logit_ablation_*` those that fall most; 5 lists of a value a token.
  A token without an effect has the first 5 of the vocabulary and zeros, as the
  largest of nothing but zeros are found.
- `residual_loss_ablation` does not depend on the feature, and what it is was
  not said. Here it is by how much a token's loss rises when all that the
  dictionary leaves unexplained is taken away, and it stands at that token
  (published ones seem to stand one earlier: the last of each window is 0).
- `logit_effects` fall in both lists: the most negative stands last.

Two things differ. A window is cut where its context ends, so that its lists
may be shorter and `train_token_ind` less than 4; and `Bottom Activations` are
tokens on which the feature is silent, where published ones barely fire.
"""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from monosem_jax.interop.feature import (
  Example,
  Feature,
  Group,
  digits,
  encode,
  naming,
)

# Tokens shown on each side of an example's own.
_SIDE = 4


def write(
  directory: pathlib.Path, features: Iterable[Feature], vocabulary: list[str]
) -> None:
  """Writes a file for each feature, one after the other.

  Args:
    directory: where; it is made.
    features: with effects and residuals.
    vocabulary: the tokens as strings.

  Raises:
    ValueError: a number is not finite.
  """
  directory.mkdir(parents=True)
  for f in features:
    with naming(f):
      data = encode(feature(f, vocabulary))
    (directory / f'{f.index}.json').write_bytes(data)


def feature(f: Feature, vocabulary: list[str]) -> dict[str, Any]:
  """The published fields of one feature.

  A feature that fired too seldom to have intervals has its top examples alone.
  """
  bins = len(f.histogram_H)
  aligned, share = f.aligned()
  groups = [g for g in f.groups if g.examples]
  if not any(g.level is not None for g in groups):
    groups = groups[:1]
  seen: set[int] = set()
  named = lambda ids_L, weights_L: [
    [vocabulary[i], digits(weight)]
    for i, weight in zip(ids_L, weights_L, strict=True)
  ]
  return {
    'index': f.index,
    'act_buckets': f.histogram_H.tolist(),
    'act_bucket_edges': digits(np.linspace(0, f.sample_max, bins + 1)),
    'logit_buckets': f.logit_histogram_H.tolist(),
    'logit_bucket_edges': digits(
      np.linspace(f.logit_range_2[0], f.logit_range_2[1], bins + 1)
    ),
    'examples_quantiles': [_group(g, vocabulary, seen) for g in groups],
    'statistics': {
      'density_frac': digits(f.density),
      'global_max_act': digits(f.max),
      'abs_max_neuron_weights': digits(f.row_A[aligned]),
      'abs_max_neuron_inds': aligned.tolist(),
      'l1_max_neuron_weights': digits(share),
    },
    'logit_effects': {
      'negatives': named(f.lowered_ids_L[::-1], f.lowered_L[::-1]),
      'positives': named(f.raised_ids_L, f.raised_L),
    },
  }


def _group(
  group: Group, vocabulary: list[str], seen: set[int]
) -> dict[str, Any]:
  """`seen` holds the datapoints of examples before, and takes these."""
  examples = []
  for e in group.examples:
    examples.append(_example(e, vocabulary, e.datapoint in seen))
    seen.add(e.datapoint)
  return {
    'quantile_name': group.name,
    'quantile_max_act': digits(max(e.act for e in group.examples)),
    'examples': examples,
  }


def _example(
  e: Example, vocabulary: list[str], repeated: bool
) -> dict[str, Any]:
  first = max(e.own - _SIDE, 0)
  shown = slice(first, e.own + _SIDE + 1)
  return {
    'tokens_str_list': [vocabulary[i] for i in e.tokens_W[shown]],
    'tokens_acts_list': digits(e.acts_W[shown]),
    'train_token_ind': e.own - first,
    'is_repeated_datapoint': int(repeated),
    'datapoint_ind': e.datapoint,
    'ablations': _ablations(e, shown, vocabulary),
  }


def _ablations(
  e: Example, shown: slice, vocabulary: list[str]
) -> dict[str, Any]:
  effects, residual_W = e.effects, e.residual_W
  assert effects is not None and residual_W is not None, 'made for an export'
  tokens = lambda ids_Wk: [
    [vocabulary[i] for i in ids_w] for ids_w in ids_Wk[shown].T
  ]
  return {
    'loss_ablation': digits(effects.loss_W[shown]),
    'top_logit_ablation_tokens_str': tokens(effects.raised_ids_Wk),
    'bottom_logit_ablation_tokens_str': tokens(effects.lowered_ids_Wk),
    'top_logit_ablation_values': digits(effects.raised_Wk[shown].T),
    'bottom_logit_ablation_values': digits(effects.lowered_Wk[shown].T),
    'residual_loss_ablation': digits(residual_W[shown]),
  }
