"""Writes features in the format of Anthropic's published data on run A/1.

Every feature that fired gets a file `{index}.json`, with the published names,
order, lengths and 4 significant digits. The format is not documented; the
following was inferred from the published files:

- `loss_ablation` is the loss without the feature minus the loss with it. It is
  positive if the feature helps to predict the token (the paper's page
  underlines such tokens in blue). It is stored with the token whose loss it is,
  which is one after the token on which the feature fires.
- `top_logit_ablation_*` are the logits that rise most without the feature, and
  `bottom_logit_ablation_*` those that fall most. Each has 5 lists with one
  value per token. A token without an effect has zeros and the first 5 tokens of
  the vocabulary, which is what top-k returns if all values are zero.
- `residual_loss_ablation` does not depend on the feature. We use the increase
of
  a token's loss with reconstructed activations, and store it with that token.
  The published values seem to be stored one token earlier, since the last value
  of each window is 0.
- `logit_effects` are in descending order in both lists, so that the most
  negative effect is last.

There are two differences. Windows are cut at the ends of their context, so
lists may be shorter and `train_token_ind` may be less than 4. And `Bottom
Activations` are tokens on which the feature is silent; in the published data it
barely fires.
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

# Number of tokens shown on each side of an example's own token.
_SIDE = 4


def write(
  directory: pathlib.Path, features: Iterable[Feature], vocabulary: list[str]
) -> None:
  """Writes one file per feature, holding one feature in memory at a time.

  Args:
    directory: the folder to create.
    features: features whose examples have effects and residuals.
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

  A feature that fired too rarely for intervals has only its top examples.
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
  """A group of examples; `seen` collects the datapoints of all examples."""
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
  assert effects is not None and residual_W is not None, 'not made for export'
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
