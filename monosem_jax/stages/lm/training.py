"""Trains the transformers of the config, and loads them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config.settings import Transformer as Settings
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.device.mesh import SPECS
from monosem_jax.device.precision import compute_dtype
from monosem_jax.run import Run, graph, training
from monosem_jax.run.files import read_tensors, write_json, write_tensors
from monosem_jax.stages import lm, programs, report
from monosem_jax.text import stream
from monosem_jax.text.store import TokenStore
from monosem_jax.transformer import train, weights
from monosem_jax.transformer.model import Transformer
from monosem_jax.transformer.sample import sample

_SAMPLES, _SAMPLE_TOKENS = 3, 48


def train_all(run: Run) -> None:
  store = TokenStore.open(run.workdir.store)
  # A shuffled copy comes after its original.
  for name, c in sorted(run.config.models.items(), key=_is_shuffled):
    if c.shuffle_of:
      _shuffle(run, store, name)
    else:
      _fit(run, store, name)
  hosts.on_first_process(lambda: report.write(run))


def load(run: Run, store: TokenStore, name: str) -> Transformer:
  """Loads a trained transformer.

  Raises:
    UserError: it is missing, or does not fit the config.
  """
  like = jax.eval_shape(_init(run.config.models[name], store)).model
  return weights.load(like, read_tensors(run.workdir.weights(name)))


def _init(c: Settings, store: TokenStore):
  return functools.partial(
    train.init,
    c,
    vocab_size=store.tokenizer.vocab_size,
    context=store.context,
    separator=store.tokenizer.separator,
  )


def _fit(run: Run, store: TokenStore, name: str) -> None:
  c, made = run.config.models[name], lm.transformer(run, name)
  if graph.complete(made, run.log):
    return
  mesh = programs.transformer_mesh(run.config, name)
  graph.begin(made)
  S, B, T = c.steps_per_chunk, c.batch_size, store.context
  init = _init(c, store)
  model = jax.eval_shape(init).model
  parameters = sum(x.size for x in jax.tree.leaves(model))
  run.log(f'lm/{name}: {parameters:,} parameters')
  with jax.set_mesh(mesh):
    share = meshes.share(mesh, (S, B), SPECS.tokens_SBT)
    state, timing = training.fit(
      run,
      training.Training(
        name=f'lm/{name}',
        progress=lm.progress(run, name),
        mesh=mesh,
        init=init,
        program=lambda state: programs.transformer_chunk(c, mesh, state, T),
        batches=lambda start: stream.batches(
          store,
          'train',
          S * B,
          seed=c.data_seed,
          start=start,
          rows_b=share.rows,
        ),
        place=lambda batch: (share.put(batch.tokens_BT),),
        unit='tok',
        units_per_chunk=S * B * T,
        flops=programs.transformer_flops(
          c, mesh, store.tokenizer.vocab_size, T
        ),
        precision=compute_dtype(c.precision),
        summarise=_summarise,
      ),
    )
    val_loss = _val_loss(mesh, state.model, store, c.eval_contexts)
    samples = _samples(state.model, store)
  tensors = meshes.fetch(weights.tensors(state.model))
  if not hosts.first():
    return
  write_tensors(run.workdir.weights(name), tensors)
  write_json(
    run.workdir.model_result(name),
    {
      'steps': c.steps,
      'val_loss': val_loss,
      'perplexity': float(np.exp(val_loss)),
      'tokens': c.steps * B * T,
      'tokens_per_second': timing.pop('units_per_second'),
      **timing,
      'parameters': parameters,
      'samples': samples,
    },
  )
  run.log(
    f'lm/{name}: held-out loss {val_loss:.3f} nats per token, perplexity '
    f'{np.exp(val_loss):.1f}'
  )
  for text in samples:
    run.log(f'lm/{name}: sample: {text!r}')


def _is_shuffled(entry: tuple[str, Settings]) -> bool:
  return bool(entry[1].shuffle_of)


def _shuffle(run: Run, store: TokenStore, name: str) -> None:
  """Makes the control with the shuffled weights of another transformer."""
  c, made = run.config.models[name], lm.transformer(run, name)
  if graph.complete(made, run.log):
    return
  graph.begin(made)
  model = weights.shuffled(load(run, store, c.shuffle_of), c.seed)
  mesh = meshes.make_mesh(run.config.mesh)
  with jax.set_mesh(mesh):
    val_loss = _val_loss(mesh, model, store, c.eval_contexts)
  if not hosts.first():
    return
  write_tensors(run.workdir.weights(name), weights.tensors(model))
  write_json(
    run.workdir.model_result(name),
    {
      'steps': 0,
      'shuffle_of': c.shuffle_of,
      'val_loss': val_loss,
      'perplexity': float(np.exp(min(val_loss, 700))),
      'tokens': 0,
      'tokens_per_second': None,
      'parameters': sum(x.size for x in jax.tree.leaves(model)),
      'samples': [],
    },
  )
  run.log(
    f'lm/{name}: {c.shuffle_of} shuffled: held-out loss {val_loss:.3f} nats'
  )


def _summarise(
  stats: dict[str, np.ndarray],
) -> tuple[dict[str, float], np.ndarray]:
  finite_S = stats.pop('finite')
  return {key: float(x_S.mean()) for key, x_S in stats.items()}, finite_S


def _val_loss(
  mesh: jax.sharding.Mesh, model: Transformer, store: TokenStore, contexts: int
) -> float:
  """Returns the mean held-out loss in nats per predicted token."""
  contexts = min(contexts, store.n_contexts('val'))
  total, predicted = 0.0, 0
  batches = stream.batches(store, 'val', 16, seed=None, start=0, epochs=1)
  for batch in batches:
    tokens_BT = batch.tokens_BT[: contexts - predicted // (store.context - 1)]
    spec = meshes.tokens_spec(len(tokens_BT))
    placed = meshes.put(mesh, tokens_BT, spec)
    total += float(train.total_loss(model, placed))
    predicted += tokens_BT.shape[0] * (store.context - 1)
    if predicted >= contexts * (store.context - 1):
      break
  batches.close()
  return total / predicted


def _samples(model: Transformer, store: TokenStore) -> list[str]:
  """Returns sampled beginnings of documents."""
  tokenizer = store.tokenizer
  length = min(_SAMPLE_TOKENS, store.context - 1)
  prompt_B1 = jnp.full((_SAMPLES, 1), tokenizer.separator, jnp.int32)
  tokens_BT = sample(model, prompt_B1, jax.random.key(0), length=length)
  return [tokenizer.decode(row[1:]) for row in meshes.fetch(tokens_BT).tolist()]
