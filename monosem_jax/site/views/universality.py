"""Pairs of features of two models."""

from collections.abc import Sequence

import numpy as np

from monosem_jax.analysis.results.arrays import Pairs
from monosem_jax.analysis.results.universality import Universality
from monosem_jax.site import views
from monosem_jax.site.links import Folders
from monosem_jax.site.pack import half


def packs(folder: Folders, keys: Sequence[str]) -> dict[str, views.Pack]:
  """`universality`: pairs of features, and the analysis' medians."""
  pack = _universality(folder, keys)
  return {} if pack is None else {'universality': pack}


def _universality(folder: Folders, keys: Sequence[str]) -> views.Pack | None:
  """The pack, or None if a set or the pairs are missing.

  A pair has three similarities: of activations, logit weights, attributions.
  """
  numbers = Universality.load_if_made(folder('universality'))
  pairs = Pairs.load_if_there(folder('universality') / 'pairs.npz')
  if numbers is None or pairs is None:
    return None
  features = numbers.pairs['features']
  sets = views.numbers_of(keys, (features.name, features.other))
  listed = features.listed
  if sets is None or listed is None:
    return None
  medians = {
    name: {
      'of': x.name,
      'with': x.other,
      'median': x.median,
      'count': x.count,
      'paper': x.paper,
    }
    for name, x in numbers.pairs.items()
  }
  # How closely the other two similarities follow that of activations.
  follow = {
    'logits': listed.logits_follow_activation,
    'attribution': listed.attribution_follows_activation,
  }
  meta = {'sets': sets, 'tokens': numbers.tokens, 'medians': medians}
  return meta | {'follow': follow}, {
    'feature': pairs.feature_M.astype(np.uint32),
    'match': pairs.match_M.astype(np.uint32),
    'activation': half(pairs.activation_M),
    'logits': half(pairs.logits_M),
    'attribution': half(pairs.attribution_M),
  }
