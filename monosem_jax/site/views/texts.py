"""Example texts, and every feature that fires on each of their tokens."""

from collections.abc import Sequence

import numpy as np

from monosem_jax.analysis.results.arrays import ActiveFeatures, Texts
from monosem_jax.analysis.results.features import ExampleTexts
from monosem_jax.site import views
from monosem_jax.site.links import Folders
from monosem_jax.site.pack import half


def packs(folder: Folders, keys: Sequence[str]) -> dict[str, views.Pack]:
  """`texts`, and `KEY/texts` for every set."""
  found = {'texts': _texts(folder)}
  found |= {f'{key}/texts': _texts_of(folder, key) for key in keys}
  return {name: pack for name, pack in found.items() if pack is not None}


def _texts(folder: Folders) -> views.Pack | None:
  """The example texts: each one's document, and its tokens."""
  found = Texts.load_if_there(folder('texts') / 'texts.npz')
  numbers = ExampleTexts.load_if_made(folder('texts'))
  if found is None or numbers is None:
    return None
  # Without `origin`, which names a file of the machine they were read on.
  told = [
    {
      'subset': text.subset,
      'document': text.document,
      'offset': text.offset,
      'whole': text.whole,
    }
    for text in numbers.texts
  ]
  return told, {'tokens': found.tokens_XT.astype(np.uint16)}


def _texts_of(folder: Folders, key: str) -> views.Pack | None:
  """The loss of each token of the example texts, and a set's features on it.

  `feature`, `activation` and `attribution` list the strongest features of each
  token, token after token; those of token t of text x begin at of[x * T + t].
  """
  found = ActiveFeatures.load_if_there(folder('texts') / f'{key}.npz')
  if found is None:
    return None
  feature_XTL = found.feature_XTL
  there_XTL = feature_XTL >= 0
  return None, {
    'loss': half(found.loss_XT),
    'of': np.r_[0, np.cumsum(there_XTL.sum(2))].astype(np.uint32),
    'active': found.active_XT.reshape(-1).astype(np.uint32),
    'feature': feature_XTL[there_XTL].astype(np.uint32),
    'activation': half(found.activation_XTL[there_XTL]),
    'attribution': half(found.attribution_XTL[there_XTL]),
  }
