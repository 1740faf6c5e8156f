"""Trains the dictionaries of each model, and evaluates them."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config import settings
from monosem_jax.config.names import entries, name_of, width
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.device.cost import dictionary as cost
from monosem_jax.device.mesh import SPECS
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary import (
  calibrate,
  init as dictionary_init,
  recipes,
  stream as rows_stream,
)
from monosem_jax.dictionary.sae import SAE, fold_scale
from monosem_jax.dictionary.state import (
  DictionaryState,
  StreamState,
  init_stream,
)
from monosem_jax.interop import saelens
from monosem_jax.run import Run, graph, loop, metrics, training
from monosem_jax.run.files import write_json
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import programs, report, sae as stage
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.stages.programs import forward
from monosem_jax.stages.sae import evaluation
from monosem_jax.text import stream
from monosem_jax.text.store import TokenStore
from monosem_jax.transformer.model import Transformer


def train_all(run: Run) -> None:
  store = TokenStore.open(run.workdir.store)
  for model, names in entries(run.config).items():
    if names:
      lm = lm_stage.load(run, store, model)
      _fit(run, store, model, lm, names)
      evaluation.measure(run, store, model, lm, names)
  hosts.on_first_process(lambda: report.write(run))


def _fit(
  run: Run,
  store: TokenStore,
  model: str,
  lm: Transformer,
  names: list[str],
) -> None:
  c, made = run.config.stream, stage.stream_of(run, model)
  label, progress = f'sae/{model}', stage.progress(run, model)
  if graph.complete(made, run.log):
    return
  mesh = programs.stream_mesh(run.config, names)
  graph.begin(made)
  dictionaries = {n: run.config.dictionaries[n] for n in names}
  C, S = c.contexts_per_chunk, progress.steps_per_chunk
  R = C * c.positions_per_context
  run.log(
    f'{label}: {", ".join(name_of(n) for n in names)}: chunks of {C:,} '
    f'contexts make {R:,} activations, {S} steps; a batch mixes '
    f'{rows_stream.contexts_per_batch(c):,.0f} contexts'
  )
  T, V = store.context, store.tokenizer.vocab_size
  with jax.set_mesh(mesh):
    lm = meshes.place(mesh, lm)
    share = meshes.share(mesh, (C,), SPECS.tokens_CT)
    # Each model gets its own order of contexts. The paper's A and B are
    # decomposed on different tokens, too.
    order = (c.seed, *model.encode())

    def batches(start: int) -> stream.Batches:
      return stream.batches(
        store, 'train', C, seed=order, start=start, rows_b=share.rows
      )

    def place(batch: stream.Batch) -> tuple[jax.Array, ...]:
      return tuple(share.put(x) for x in batch)

    def start(state: StreamState) -> StreamState:
      with contextlib.closing(batches(0)) as first:
        state = _start(run, dictionaries, state, lm, map(place, first))
      return jax.device_put(state, meshes.shardings(mesh, state))

    state, timing = training.fit(
      run,
      training.Training(
        name=label,
        progress=progress,
        mesh=mesh,
        init=functools.partial(
          init_stream, dictionaries, width(run.config.models[model])
        ),
        start=start,
        program=lambda state: programs.stream_chunk(
          run.config, names, mesh, state, lm, T
        ),
        fixed=(lm,),
        batches=batches,
        place=place,
        unit='act',
        units_per_chunk=R,
        flops=cost.chunk_flops(
          programs.sweep(run.config, model, names, mesh, V, T)
        ),
        precision=compute_dtype(c.precision),
        summarise=_summarise,
        observe=functools.partial(_snapshot, run, S),
      ),
    )
  resampled = _resampled(run.workdir, label) if hosts.first() else {}
  for name, d in state.dictionaries.items():
    d = meshes.fetch(d.replace(opt_state=()))
    if not hosts.first():
      continue
    _export(run, store, model, name, d)
    write_json(
      run.workdir.training(name),
      {
        'steps': c.steps,
        'recipe': dictionaries[name].recipe,
        'init': dictionaries[name].init,
        'placement': dictionaries[name].resampling.placement,
        'features': d.silent_F.size,
        'l1': float(d.l1),
        'input_scale': float(d.scale),
        'dead_in_training': int(
          (d.silent_F >= dictionaries[name].resampling.window).sum()
        ),
        'dead_window': dictionaries[name].resampling.window,
        'activations_seen': c.steps * c.batch_size,
        **rows_stream.repetition(c, store.n_contexts('train'), store.context),
        'contexts_per_batch': rows_stream.contexts_per_batch(c),
        'resampling_candidates': dictionaries[name].resampling.candidates,
        'resampled': resampled.get(name, []),
        'activations_per_second': timing['units_per_second'],
        'flops_per_second': timing['flops_per_second'],
        'mfu': timing['mfu'],
      },
    )


def _start(
  run: Run,
  dictionaries: Mapping[str, settings.Dictionary],
  state: StreamState,
  lm: Transformer,
  chunks: Iterator[tuple[jax.Array, ...]],
) -> StreamState:
  """Sets the parts of the initial state that depend on data.

  They are set on the rows of the first chunks, which are also trained on later.
  One chunk is enough, except to calibrate an L1 coefficient: a trial that
  repeated few rows would memorise them, at a lower L0.
  """
  c = run.config.stream
  harvest = jax.jit(
    functools.partial(
      rows_stream.harvest, c, forward, dtype=compute_dtype(c.precision)
    )
  )
  trials = [
    d.calibration_steps for d in dictionaries.values() if d.l1_target_l0
  ]
  steps = c.contexts_per_chunk * c.positions_per_context // c.batch_size
  rows = rows_stream.joined(
    rows_stream.Rows(
      rows_UGrA=harvest(lm, *next(chunks)),
      index_SMGn=rows_stream.shuffled_index(c, jnp.int32(k)),
    )
    for k in range(max(1, -(-max(trials, default=0) // steps)))
  )
  states, dot = state.dictionaries, Dot(compute_dtype(c.precision))
  for name, d in dictionaries.items():
    n = min(dictionary_init.sample_rows(d), rows.index_SMGn.size)
    start = functools.partial(dictionary_init.start, d, dot=dot)
    fresh = jax.jit(start)(states[name], rows.pick(jnp.arange(n)))
    if d.l1_target_l0:
      log = lambda line, name=name: run.log(f'sae/{name}: {line}')
      fresh = fresh.replace(
        l1=calibrate.l1_for_l0(d, fresh, rows, c.precision, log)
      )
      log(f'l1 = {float(fresh.l1):.4g} for an L0 of {d.l1_target_l0:g}')
    states[name] = fresh
  return StreamState.of(state.step, dictionaries, states)


def _summarise(
  stats: dict[str, dict[str, np.ndarray]],
) -> tuple[dict[str, Any], np.ndarray]:
  """Returns a chunk's means, resampling counts and density histogram."""
  numbers: dict[str, Any] = {}
  finite_S = np.array(True)
  for name, own in stats.items():
    finite_S = finite_S & own.pop('finite')
    numbers[f'{name}/density'] = own.pop('density').tolist()
    numbers[f'{name}/resampled'] = own.pop('resampled').tolist()
    numbers |= {f'{name}/{k}': float(x_S.mean()) for k, x_S in own.items()}
  return numbers, finite_S


def _resampled(w: Workdir, label: str) -> dict[str, list[list[int]]]:
  """Reads [step, count] of every resampling from the metrics."""
  found: dict[str, list[list[int]]] = {}
  before = 0
  for record in metrics.read(w.root, label):
    for key, counts in record.items():
      if not key.endswith('/resampled'):
        continue
      segment = (record['step'] - before) // len(counts)
      found.setdefault(key.partition('/')[0], []).extend(
        [before + i * segment, n] for i, n in enumerate(counts) if n
      )
    before = record['step']
  return found


def _snapshot(run: Run, S: int, done: int, state: StreamState) -> None:
  """Saves the dictionaries after chunks 1, 2, 4, 8, ..., for their history."""
  if done & (done - 1) == 0 and loop.finite(state):
    for name, d in state.dictionaries.items():
      finished = meshes.fetch(_finished(run.config.dictionaries[name], d))
      if hosts.first():
        saelens.save(
          run.workdir.dictionary(name) / 'snapshots' / f'step_{done * S:09d}',
          finished,
          {'step': done * S},
        )


def _finished(c: settings.Dictionary, d: DictionaryState) -> SAE:
  """Returns the dictionary for unscaled activations, in the paper's form."""
  return fold_scale(recipes.standard(c, d.sae, Dot(jnp.float32)), d.scale)


def _export(
  run: Run, store: TokenStore, model: str, name: str, d: DictionaryState
) -> None:
  layer = run.config.models[model].site_layer
  site = run.config.models[model].site
  hook = 'mlp.hook_post' if site == 'mlp' else 'hook_resid_post'
  saelens.save(
    run.workdir.dictionary(name),
    _finished(run.config.dictionaries[name], d),
    {
      'model_name': f'monosem_jax/{model}',
      'hook_name': f'blocks.{layer}.{hook}',
      'hook_head_index': None,
      'context_size': store.context,
      'prepend_bos': False,
      'dataset_path': run.config.text.source,
      'run': name_of(name),
    },
  )
