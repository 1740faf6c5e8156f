"""A whole training run, beside SAELens'."""

import contextlib
import functools
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from launch.benchmark.bare import A, F, N
from launch.benchmark.compare import ours, theirs
from launch.benchmark.measure import (
  SPEED,
  Speed,
  in_turn,
  on_cpu,
  ratio,
  table,
)
from launch.benchmark.peers import Work
from launch.benchmark.streams import (
  chunk_flops,
  make_harvest,
  numbered,
  random_tokens,
  stream_settings,
  transformer,
)
from monosem_jax.config import settings
from monosem_jax.dictionary import (
  init as dictionary_init,
  stream,
  train as dictionary_train,
)
from monosem_jax.dictionary.state import StreamState, init_stream
from monosem_jax.stages.programs import forward
from monosem_jax.transformer import weights


def work(
  data: str, features: int, batch: int, buffer: int, l1: float, lr: float
) -> Work:
  """A whole training as in the stage `sae`, without its files, as a worker.

  Arguments and result are those of `peers.saelens_run`.
  """
  found = np.load(data)
  tokens_CT = found['tokens_CT']
  T = tokens_CT.shape[1]
  c = stream_settings(buffer // T, T, batch)
  d = {'A1': settings.Dictionary(features=features, l1=l1, lr=lr)}
  lm = weights.load(jax.eval_shape(lambda: transformer(T)), found)

  def begin(batch) -> StreamState:
    rows = stream.Rows(
      rows_UGrA=make_harvest(c)(lm, *batch),
      index_SMGn=stream.shuffled_index(c, jnp.int32(0)),
    )
    state = jax.jit(lambda: init_stream(d, A))()
    x_NA = rows.pick(jnp.arange(d['A1'].median_rows))
    start = jax.jit(functools.partial(dictionary_init.start, d['A1']))
    fresh = start(state.dictionaries['A1'], x_NA)
    return StreamState.of(state.step, d, {'A1': fresh})

  def run() -> dict:
    chunk = dictionary_train.make_chunk(c, d, forward)
    marks, before, waiting = [], time.perf_counter(), None

    def settle():
      if waiting is not None:
        jax.device_get(waiting)
        marks.append(time.perf_counter() - before)

    state = begin(numbered(tokens_CT[: buffer // T]))
    for i in range(0, len(tokens_CT), buffer // T):
      batch = numbered(tokens_CT[i : i + buffer // T])
      state, stats = chunk(state, lm, *batch)
      settle()
      waiting = stats
    settle()
    return {'marks': marks, 'per_mark': buffer}

  return {'ours': run}


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
  """Measures whole trainings, each in a new process, so that each compiles."""
  T, buffer, chunks = 256, 32_768 if on_cpu() else 1_048_576, 8
  total = buffer * chunks
  lm = transformer(T)
  # Adds noise, since the check of activations would not see biases of 0 and
  # norms of 1.
  leaves, tree = jax.tree.flatten(lm)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  leaves = [
    x + 0.02 * jax.random.normal(key, x.shape)
    for key, x in zip(keys, leaves, strict=True)
  ]
  lm, tokens_CT = jax.tree.unflatten(tree, leaves), random_tokens(total // T, T)
  with tempfile.TemporaryDirectory() as directory:
    arguments = {
      'data': f'{directory}/data.npz',
      'features': F,
      'batch': N,
      'buffer': buffer,
      'l1': 0.004,
      'lr': 1e-4,
    }
    np.savez(
      arguments['data'],
      tokens_CT=tokens_CT,
      acts_BTA=jax.jit(forward)(lm, tokens_CT[:8]),
      **weights.tensors(lm),
    )

    def run(started: contextlib.AbstractContextManager) -> dict | None:
      with started as works:
        return next((work() for work in works.values()), None)

    works = {'ours': lambda: run(ours('train', **arguments))}
    if peers:
      works['SAELens'] = lambda: run(theirs(peers, 'SAELens-run', **arguments))
    found = in_turn(works, rounds or 3)
  seconds = {}
  for name, runs in found.items():
    if None in runs:
      continue
    whole = [run['marks'][-1] for run in runs]
    warm = [
      run['marks'][-1] - run['marks'][buffer // run['per_mark'] - 1]
      for run in runs
    ]
    seconds[name] = whole, warm
  each = chunk_flops(stream_settings(buffer // T, T), T)
  speeds, rows = {}, []
  for name, both in seconds.items():
    flops = each if name == 'ours' else 0.0
    for part, own, units, first in (
      ('whole', both[0], total, seconds['ours'][0]),
      (f'after {buffer:,}', both[1], total - buffer, seconds['ours'][1]),
    ):
      speed = speeds[f'{name}, {part}'] = Speed(units, own, flops)
      rows.append(
        (f'{name}, {part}', *speed.cells(), f'{ratio(own, first):.2f}x')
      )
  table(
    f'train: {A} -> {F:,}, batch {N:,}, {total:,} activations, T={T} (aim: 2x)',
    ('', *SPEED, 'ours is'),
    *rows,
  )
  if 'SAELens' in seconds:
    difference = found['SAELens'][0]['difference']
    print(f'  activations are the same in both, up to {difference:.1g}')
  return speeds
