"""Makes feature tables from a pass over text."""

import dataclasses

import jax
import numpy as np

from monosem_jax.config import settings
from monosem_jax.config.names import entries, name_of
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary.sae import SAE
from monosem_jax.features import census, collect, examples, logits
from monosem_jax.features.table import FeatureTable
from monosem_jax.interop import saelens
from monosem_jax.run import Run, graph, metrics
from monosem_jax.stages import features, programs
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text import stream
from monosem_jax.text.store import TokenStore
from monosem_jax.transformer.model import Transformer


def describe_all(run: Run) -> None:
  store = TokenStore.open(run.workdir.store)
  for model, names in entries(run.config).items():
    if not names:
      continue
    lm = lm_stage.load(run, store, model)
    for name in names:
      describe(run, store, model, lm, name)


def describe(
  run: Run, store: TokenStore, model: str, lm: Transformer, name: str
) -> None:
  """Makes the feature table of a dictionary or a control."""
  made = features.table(run, name, model)
  if graph.complete(made, run.log):
    return
  graph.begin(made)
  c, sae = run.config.features, saelens.load(run.workdir.dictionary(name))
  contexts = min(c.contexts, store.n_contexts(c.split))
  # A small store is read in smaller batches. All batches are whole, so that
  # the program compiles once.
  c = dataclasses.replace(c, batch_size=min(c.batch_size, contexts))
  contexts -= contexts % c.batch_size
  tokens = contexts * store.context
  mesh = meshes.make_mesh(run.config.mesh)
  F = int(sae.b_enc_F.size)
  meshes.require_share(
    mesh, F, f'dictionaries.{name}.features', meshes.AXES[1:]
  )
  dot = Dot(compute_dtype(run.config.stream.precision))
  with jax.set_mesh(mesh):
    found, seen, context_FX = _pass(
      c, dot, store, mesh, lm, sae, name, contexts
    )
  if not hosts.first():
    return
  sampled_F, edge_F, histogram_FH = examples.histograms(found)
  cosine_F = census.cosine(sae.W_enc_AF, sae.W_dec_FA)
  known = census.classify(
    found.fired_F, tokens, cosine_F, c.least_firings, c.modes_apart
  )
  columns, shown = examples.choose(c, seen, context_FX)
  FeatureTable(
    fired_F=found.fired_F,
    class_F=known.class_F,
    cosine_F=cosine_F,
    max_F=found.top_FE[:, 0],
    sampled_F=sampled_F.astype(np.int32),
    sample_max_F=edge_F,
    histogram_FH=histogram_FH.astype(np.int32),
    **columns,
    **logits.logit_columns(Transformer.logit_weights, lm, sae.W_dec_FA),
    meta={
      'run': name_of(name),
      'model': model,
      'features': F,
      'tokens': tokens,
      'split': c.split,
      'manifest': store.manifest['sha256'],
      'census': census.numbers(known, found.fired_F),
      'before': c.before,
      'after': c.after,
      'groups': shown,
      'lost_samples': found.lost,
    },
  ).save(made.folder)
  run.log(f'features/{name}: {census.sentence(known)} on {tokens:,} tokens')


def _pass(
  c: settings.Features,
  dot: Dot,
  store: TokenStore,
  mesh: jax.sharding.Mesh,
  lm: Transformer,
  sae: SAE,
  name: str,
  contexts: int,
) -> tuple[collect.Found, dict[str, np.ndarray], np.ndarray]:
  """Does what all processes do together: the pass, then the windows."""
  B, T = c.batch_size, store.context
  lm, sae = meshes.place(mesh, lm), meshes.place(mesh, sae)
  share = meshes.share(mesh, (B,), meshes.tokens_spec(B))

  def batches():
    opened = stream.batches(
      store, c.split, B, seed=None, start=0, epochs=1, rows_b=share.rows
    )
    for _, batch in zip(range(contexts // B), opened, strict=False):
      yield share.put(batch.tokens_BT), share.put(batch.context_B)
    opened.close()

  forward, tokens = programs.forward, contexts * T
  bar = metrics.progress(f'features/{name}', total=tokens, unit='tok')
  found = collect.collect(c, forward, dot, lm, sae, batches, tokens, bar.update)
  bar.close()
  _, edge_F, _ = examples.histograms(found)
  context_FX, position_FX = examples.candidates(c, found, edge_F, contexts, T)
  bar = metrics.progress(f'examples/{name}', total=1, unit='ctx')
  seen = examples.look(
    c,
    forward,
    dot,
    lm,
    sae,
    lambda context_B: store.tokens(c.split, context_B),
    context_FX,
    position_FX,
    lambda done, rows: metrics.advance(bar, done, rows),
  )
  bar.close()
  return found, seen, context_FX
