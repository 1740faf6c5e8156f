"""Example texts with the active features of each token; see `analysis.texts`.

They are made for dictionaries and neurons. Other controls have no features
worth reading.
"""

import pathlib

import jax
import numpy as np

from monosem_jax.analysis import figures, texts, universality
from monosem_jax.analysis.results.arrays import ActiveFeatures, Texts
from monosem_jax.analysis.results.features import Active, ExampleTexts, Text
from monosem_jax.device import mesh as meshes
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages import programs
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.stages.analysis.sections import features
from monosem_jax.transformer.model import Transformer, next_token_loss

# Held-out text, on which no dictionary was trained.
_SPLIT = 'val'


def make(inputs: AnalysisInputs, out: pathlib.Path) -> ExampleTexts:
  columns, titles = _chosen(inputs)
  tokens_XT = columns['tokens_XT']
  shown = [s for s in inputs.feature_sets() if not s.is_control or s.is_neurons]
  losses = {
    model: _loss(inputs.lm(model), tokens_XT)
    for model in dict.fromkeys(s.model for s in shown)
  }
  chosen = Texts(**columns, loss_XT=losses[inputs.main.model])
  chosen.save(out / 'texts.npz')
  by_name, active = {}, {}
  for s in shown:
    found = _view(inputs, s, tokens_XT, losses[s.model])
    found.save(out / f'{s.key}.npz')
    active[s.name] = found.active_XT.reshape(-1)
    kept = found.feature_XTL.shape[2]
    by_name[s.name] = Active(
      active=float(active[s.name].mean()),
      overflowing_tokens=int((active[s.name] > kept).sum()),
    )
  figures.histogram(
    out / 'active.png',
    {name: np.log10(np.maximum(x, 1)) for name, x in active.items()},
    f'Tokens of {len(titles)} held-out texts; in brackets how many.',
    'log10 of the active features of a token',
    'share of tokens',
  )
  return ExampleTexts(
    split=_SPLIT,
    active_per_token=inputs.config.texts.active,
    texts=titles,
    sets=by_name,
  )


def _chosen(inputs: AnalysisInputs) -> tuple[dict[str, np.ndarray], list[Text]]:
  """Chooses the texts, and returns their arrays and their sources.

  A context with several documents counts as part of the one in its middle.
  """
  store, T = inputs.store, inputs.store.context
  index_C = store.stream_index(_SPLIT, np.arange(store.n_contexts(_SPLIT)))
  at_C3 = store.document_of(
    _SPLIT, index_C[:, None], np.array([0, T // 2, T - 1])
  )
  whole_C, document_C = at_C3[:, 0] == at_C3[:, 2], at_C3[:, 1]
  subset_D = store.document_subset(_SPLIT)
  context_X = texts.choose(
    document_C,
    whole_C,
    subset_D,
    inputs.config.texts.documents,
    inputs.config.seed,
  )
  titles = []
  for context in context_X:
    place = store.locate(_SPLIT, index_C[context], T // 2)
    titles.append(
      Text(
        context=int(context),
        subset=place.subset,
        origin=place.origin,
        document=place.document,
        # Of the text's first token; negative if the document begins after it.
        offset=place.offset - T // 2,
        whole=bool(whole_C[context]),
      )
    )
  return {
    'tokens_XT': store.tokens(_SPLIT, context_X),
    'context_X': context_X.astype(np.int32),
    'document_X': document_C[context_X],
    'subset_X': subset_D[document_C[context_X]].astype(np.int32),
    'whole_X': whole_C[context_X],
  }, titles


@jax.jit
def _losses(lm: Transformer, tokens_BT: jax.Array) -> jax.Array:
  return next_token_loss(lm(tokens_BT)[0], tokens_BT)


def _loss(lm: Transformer, tokens_XT: np.ndarray) -> np.ndarray:
  """Returns each token's loss in nats; NaN for the first token of a context."""
  loss_XT = np.full(tokens_XT.shape, np.nan, np.float32)
  for x in range(len(tokens_XT)):
    loss_XT[x, 1:] = meshes.fetch(_losses(lm, tokens_XT[x : x + 1]))[0]
  return loss_XT


def _view(
  inputs: AnalysisInputs,
  s: LoadedSet,
  tokens_XT: np.ndarray,
  loss_XT: np.ndarray,
) -> ActiveFeatures:
  view = texts.make_view(
    programs.forward, inputs.dot, inputs.config.texts.active
  )
  lm = inputs.lm(s.model)
  side = universality.side(lm, s.sae)
  told, parts = inputs.progress(f'texts/{s.key}'), []
  for x in range(len(tokens_XT)):
    # One text at a time, since L rows per token are gathered.
    tokens_1T = tokens_XT[x : x + 1]
    found = view(lm, s.sae, side.rows_FD, side.median_F, tokens_1T)
    parts.append(meshes.fetch(found))
    told(x + 1, len(tokens_XT))
  together = lambda name: np.concatenate([getattr(p, name) for p in parts])
  return ActiveFeatures(
    feature_XTL=together('feature_BTL'),
    activation_XTL=together('activation_BTL').astype(np.float32),
    attribution_XTL=together('attribution_BTL').astype(np.float32),
    active_XT=together('active_BT'),
    loss_XT=loss_XT,
  )


ANALYSIS = Analysis(
  order=70,
  make=make,
  numbers=ExampleTexts,
  title='Texts, token by token',
  asked='How many features are active on a token?',
  answer=features.texts,
  picture='active.png',
  view='texts',
)
