"""How fast the program is: medians and ratios, each pair measured in one run.

  python launch/benchmark.py [NAME ...] [--peers=PYTHON] [--device=cpu]
    [--json=FILE]

step          one training step of a dictionary, 512 -> 4,096, batch 8,192,
              beside SAELens and dictionary_learning.
scale         the same by number of features, 512 to 131,072.
batch         the same by batch.
sparse        32,768 and 131,072 features, batch 1,024, beside the others. With
              them it takes 12 GB.
stream        tokens to trained activations (forward, shuffle, steps), as a
              share of the bare step's rate.
dictionaries  1 to 8 dictionaries of 512 -> 1,024 on one stream, as a multiple
              of as many bare steps.
train         a whole training, 512 -> 4,096, from initialised weights, beside
              SAELens' own on the same transformer and tokens.
pipeline      the stream in A/1's shape (a smaller one on a CPU), and where its
              time goes.
lm            a training step of the transformer.
features      the pass over tokens, as a multiple of the bare forward and
              encode.

Steps are measured dense and sparse (`settings.Dictionary.sparse`), on
dictionaries that leave 50 of their features active, if nothing else is said.
PYTHON, another interpreter, has the other systems; they run on a CPU, all in
turn, round after round. On a CPU everything is float32; on an accelerator
matrix products are bfloat16, and chunks and batches larger. Every figure is a
median over rounds; a machine that is shared drifts, so quote the ratios. FLOP/s
are those of the matrix products that the result needs; MFU is their share of
the device's peak, where `cost.hardware` knows the device. FILE gets every
figure, after each benchmark.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping

# The scripts lie beside the package, and need no install of it.
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from peers import Work, serve, timed, worker

from monosem_jax.config import settings
from monosem_jax.device.cost import (
  dictionary as dictionary_cost,
  flops_text,
  hardware,
  transformer as lm_cost,
)
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary import (
  init as dictionary_init,
  sae as sae_lib,
  sparse,
  stream,
  train as dictionary_train,
)
from monosem_jax.dictionary.state import (
  DictionaryState,
  StreamState,
  init,
  init_stream,
)
from monosem_jax.dictionary.step import train_step
from monosem_jax.features import collect, examples
from monosem_jax.stages.programs import forward
from monosem_jax.transformer import train as lm_train, weights

A, F, N, V = 512, 4_096, 8_192, 4_096
# Active features of a row; and the paths of a step that depends on them.
L0, PATHS = 50, {'never': 'dense', 'always': 'sparse'}


def on_cpu() -> bool:
  return jax.default_backend() == 'cpu'


def in_turn(works: Mapping, rounds: int) -> dict:
  """What each work returns, round after round."""
  found = {name: [] for name in works}
  for _ in range(rounds):
    for name, work in works.items():
      found[name].append(work())
  return found


def ratio(seconds: list[float], others: list[float]) -> float:
  """The median ratio of what was measured in the same round."""
  pairs = zip(seconds, others, strict=True)
  return statistics.median(a / b for a, b in pairs)


@functools.cache
def peak() -> float:
  """Peak FLOP/s of the device in the products that are measured; 0: unknown."""
  known = hardware.find(jax.devices()[0].device_kind)
  return known.peak(compute_dtype('auto').name) if known else 0.0


@dataclasses.dataclass(frozen=True)
class Speed:
  """How fast something is.

  Attributes:
    units: what it works on, in the seconds of a round.
    seconds: of each round.
    flops: of matrix products, for a unit; 0: the same as another's.
  """

  units: int
  seconds: list[float]
  flops: float = 0.0

  def told(self) -> dict[str, float | int]:
    """Units a second (median, least, most); FLOP/s; MFU, where it is known."""
    each = [self.units / seconds for seconds in self.seconds]
    found = {'per_second': statistics.median(each), 'rounds': len(each)}
    found |= {'least': min(each), 'most': max(each)}
    if self.flops:
      found['flops_per_second'] = self.flops * found['per_second']
      if peak():
        found['mfu'] = found['flops_per_second'] / peak()
    return found

  def cells(self) -> tuple[str, ...]:
    """Those of SPEED."""
    found = self.told()
    return (
      *(f'{found[key]:,.0f}' for key in ('per_second', 'least', 'most')),
      flops_text(found['flops_per_second']) + '/s' if self.flops else '-',
      f'{found["mfu"]:.1%}' if 'mfu' in found else '-',
    )


SPEED = 'a second', 'least', 'most', 'FLOP/s', 'MFU'


def step_flops(features: int, path: str) -> int:
  """Of a training step, for a row; `path` of `settings.Dictionary.sparse`."""
  d = settings.Dictionary(features=features, sparse=path)
  return dictionary_cost.flops(d, A)


def table(title: str, *rows: tuple[str, ...]) -> None:
  """Prints rows below a title, in columns."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  print(title)
  for row in rows:
    cells = [x.rjust(w) for x, w in zip(row, widths, strict=True)]
    print('  ' + '  '.join(cells), flush=True)


# Bare steps: a dictionary trained on one and the same batch.


def micro_batch(batch: int, features: int) -> int:
  """Rows encoded at once: on a CPU so few that f_NF stays in its cache, but
  enough that adding up their gradients does not count."""
  most = max(1_024, min(2_048, 2**23 // features)) if on_cpu() else batch
  return max(n for n in range(1, most + 1) if batch % n == 0)


def steps_per_call() -> int:
  """An accelerator may be done with a step before the host with a call."""
  return 1 if on_cpu() else 20


@functools.cache
def bare_step(features: int, path: str) -> Callable:
  """Compiles `call(state, rows) -> (state, numbers)`, one step or more.

  `path`: of `settings.Dictionary.sparse`.
  """
  c, dot = settings.Dictionary(features=features, sparse=path), auto_dot()

  @jax.jit(donate_argnums=0)
  def call(state, rows):
    def step(state, index_MGn):
      return train_step(c, state, rows, index_MGn, dot)[:2]

    return jax.lax.scan(step, state, rows.index_SMGn)

  return call


def auto_dot() -> Dot:
  return Dot(compute_dtype('auto'))


def random_rows(batch: int) -> jax.Array:
  return jax.nn.relu(jax.random.normal(jax.random.key(0), (batch, A)))


def bias_for(pre_NF: jax.Array, l0: float) -> jax.Array:
  """The encoder bias that leaves `l0` features of a row active: b_enc_F."""
  features = pre_NF.shape[1]
  return jnp.full(features, -jnp.quantile(pre_NF.ravel(), 1 - l0 / features))


def sparse_state(features: int, x_NA: jax.Array, l0: float) -> DictionaryState:
  """A dictionary with `l0` active features, which learns nothing: so it stays.

  As initialised, half of them are.
  """
  c = settings.Dictionary(features=features)
  state = jax.jit(lambda: init(c, A))()
  x_NA = x_NA[:: len(x_NA) // 64].astype(state.scale.dtype)
  bias = bias_for(x_NA @ state.sae.W_enc_AF, l0)
  sae = state.sae.replace(b_enc_F=bias)
  return state.replace(sae=sae, lr=jnp.zeros_like(state.lr))


def bare_steps(
  x_NA: jax.Array, features: int, paths: tuple[str, ...], l0: float = L0
) -> Work:
  """For each path a function to the seconds of a step; they share a state."""
  N, S, micro = len(x_NA), steps_per_call(), micro_batch(len(x_NA), features)
  index_MGn = jnp.arange(N).reshape(-1, 1, micro)
  rows = stream.Rows(
    rows_UGrA=x_NA.reshape(1, 1, N, A).astype(auto_dot().dtype),
    index_SMGn=jnp.broadcast_to(index_MGn, (S, *index_MGn.shape)),
  )
  state = [sparse_state(features, x_NA, l0)]

  def make(path: str) -> Callable[[], float]:
    call = bare_step(features, path)

    def work() -> float:
      start = time.perf_counter()
      state[0], numbers = jax.block_until_ready(call(state[0], rows))
      seconds = time.perf_counter() - start
      require_room(numbers)
      return seconds / S

    work()
    return work

  return {path: make(path) for path in paths}


def many(step: Callable[[], float], steps: int) -> Callable[[], float]:
  """A function to the seconds of so many steps; an accelerator's are alike."""
  calls = steps if on_cpu() else math.ceil(steps / steps_per_call())
  return lambda: sum(step() for _ in range(calls)) / calls * steps


def require_room(*numbers: dict[str, jax.Array]) -> None:
  """Raises if a sparse step took dense products: its time would mislead."""
  if any(np.any(own.get('fallbacks', 0)) for own in numbers):
    raise RuntimeError('rows with more active features than there is room')


def worker_steps(features: int, batch: int, l0: float) -> Work:
  """Bare steps as a worker."""
  steps = bare_steps(random_rows(batch), features, tuple(PATHS), l0)
  return {f'ours, {PATHS[path]}': work for path, work in steps.items()}


@contextlib.contextmanager
def ours(name: str, **arguments) -> Iterator[Work]:
  """Our own work, as `worker` yields that of others.

  An accelerator has room for one process.
  """
  if on_cpu():
    command = [sys.executable, __file__, '--device=cpu', f'--worker={name}']
    with worker(command, **arguments) as works:
      yield works
  else:
    yield WORKERS[name](**arguments)


@contextlib.contextmanager
def theirs(python: str, name: str, **arguments) -> Iterator[Work]:
  script = pathlib.Path(__file__).with_name('peers.py')
  with worker([python, str(script), name], **arguments) as works:
    yield works


def compared(
  title: str, peers: str | None, rounds: int, features: int, batch: int
) -> dict[str, Speed]:
  """Prints each system's speed, and how much faster each path is."""
  sizes = {'features': features, 'batch': batch, 'l0': L0}
  with contextlib.ExitStack() as stack:
    works = stack.enter_context(ours('steps', **sizes))
    own = list(works)
    for name in ('SAELens', 'dictionary_learning') if peers else ():
      works |= stack.enter_context(theirs(peers, name, **sizes, width=A))
    found = in_turn(works, rounds)
  flops = {
    f'ours, {name}': step_flops(features, path) for path, name in PATHS.items()
  }
  speeds = {
    name: Speed(batch, seconds, flops.get(name, 0.0))
    for name, seconds in found.items()
  }
  rows = [
    (
      name,
      *speeds[name].cells(),
      *(f'{ratio(seconds, found[x]):.2f}x' for x in own),
    )
    for name, seconds in found.items()
  ]
  table(title, ('', *SPEED, *(f'{x} is' for x in own)), *rows)
  return speeds


def bench_step(rounds: int, peers: str | None) -> dict[str, Speed]:
  title = f'step: {A} -> {F:,}, batch {N:,}, L0 {L0}; activations'
  return compared(title, peers, rounds or 9, F, N)


def bench_sparse(rounds: int, peers: str | None) -> dict[str, Speed]:
  speeds, batch = {}, 1_024
  for features in (32_768, 131_072):
    size = f'{A} -> {features:,}, batch {batch:,}, L0 {L0}'
    title = f'sparse: {size}; activations (aim: 2x SAELens)'
    found = compared(title, peers, rounds or 5, features, batch)
    speeds |= {f'{features}, {name}': one for name, one in found.items()}
  return speeds


def bench_scale(rounds: int, peers: str | None) -> dict[str, Speed]:
  """Each size in turn with the dense step at F: what drifts is the machine."""
  dense, rows, speeds, x_NA = [], [], {}, random_rows(N)
  l0 = 40  # with 50 a row in some thousands has no room at 131,072
  beside = bare_steps(x_NA, F, ('never',))['never']
  for features in (512, 2_048, 8_192, 32_768, 131_072):
    repeat = max(1, F // features)  # as long as the one beside them
    steps = bare_steps(x_NA, features, tuple(PATHS), l0)
    works = {path: many(step, repeat) for path, step in steps.items()}
    found = in_turn({**works, 'beside': beside}, rounds or 5)
    units = N * repeat * features
    nanoseconds = statistics.median(found['never']) / units * 1e9
    cost = [ratio(found[p], found['beside']) * N * F / units for p in PATHS]
    dense.append(cost[0])
    pays = sparse.pays(settings.Dictionary(features=features))
    for path, name in PATHS.items():
      speeds[f'{features}, {name}'] = Speed(
        N * repeat, found[path], step_flops(features, path)
      )
    told = [speeds[f'{features}, {name}'].cells() for name in PATHS.values()]
    rows.append(
      (
        f'{features:,}',
        *(x for cells in told for x in (cells[0], *cells[-2:])),
        f'{nanoseconds:.2f} ns',
        *(f'{x:.2f}' for x in cost),
        'sparse' if pays else 'dense',
      )
    )
  heads = (
    'features',
    *(x for name in PATHS.values() for x in (f'{name} act/s', 'FLOP/s', 'MFU')),
    'dense, per feature',
  )
  table(
    f'scale: {A} -> features, batch {N:,}, L0 {l0}',
    (*heads, f'of that at {F:,}', 'sparse, of the same', 'auto takes'),
    *rows,
  )
  spread = max(dense) / min(dense) - 1
  print(
    f'  the dense cost per feature is {"" if spread <= 0.25 else "not "}flat '
    f'within 25%: the dearest is {spread:.0%} above the cheapest'
  )
  return speeds


def bench_batch(rounds: int, peers: str | None) -> dict[str, Speed]:
  sizes = [n if on_cpu() else 4 * n for n in (512, 2_048, 8_192, 32_768)]
  works = {}
  for n in sizes:
    steps = bare_steps(random_rows(n), F, tuple(PATHS))
    works |= {(n, path): work for path, work in steps.items()}
  found = in_turn(works, rounds or 5)
  per_row = {key: [x / key[0] for x in found[key]] for key in found}
  speeds = {
    f'{n}, {name}': Speed(n, found[n, path], step_flops(F, path))
    for n in sizes
    for path, name in PATHS.items()
  }
  table(
    f'batch: {A} -> {F:,}, L0 {L0}; activations',
    ('batch, path', *SPEED, f'of that at {N:,}'),
    *(
      (
        f'{n:,}, {name}',
        *speeds[f'{n}, {name}'].cells(),
        f'{ratio(per_row[N, path], per_row[n, path]):.2f}',
      )
      for path, name in PATHS.items()
      for n in sizes
    ),
  )
  return speeds


# Streams: what stands before the steps, and the whole.


def transformer(T: int, vocab_size: int = V):
  """A transformer as initialised; no random token is its separator."""
  init = functools.partial(
    lm_train.init,
    settings.Transformer(),
    vocab_size=vocab_size,
    context=T,
    separator=vocab_size - 1,
  )
  return jax.jit(init)().model


def random_tokens(C: int, T: int, vocab_size: int = V) -> np.ndarray:
  rng = np.random.default_rng(0)
  return rng.integers(0, vocab_size - 1, (C, T), np.int32)


def stream_settings(
  C: int, P: int, batch: int = N, stack: str = 'map'
) -> settings.Stream:
  return settings.Stream(
    contexts_per_chunk=C,
    positions_per_context=P,
    batch_size=batch,
    micro_batch=micro_batch(batch, F),
    stack=stack,
  )


def steps_of(c: settings.Stream) -> int:
  """S of a chunk."""
  return c.contexts_per_chunk * c.positions_per_context // c.batch_size


def numbered(tokens_CT: np.ndarray) -> tuple[np.ndarray, ...]:
  """A chunk's arguments: contexts of the first epoch."""
  C = len(tokens_CT)
  return tokens_CT, np.arange(C, dtype=np.int32), np.zeros(C, np.int32)


def make_chunks(
  c: settings.Stream,
  dictionaries: Mapping[str, settings.Dictionary],
  lm,
  batch: tuple[np.ndarray, ...],
  state: StreamState,
  chunks: int = 1,
) -> Callable[[], float]:
  """A function to the seconds of a chunk, among `chunks` one behind another."""
  chunk = dictionary_train.make_chunk(c, dictionaries, forward)
  kept = [state]

  def work() -> float:
    start = time.perf_counter()
    for _ in range(chunks):
      kept[0], stats = chunk(kept[0], lm, *batch)
    jax.block_until_ready(stats)
    seconds = (time.perf_counter() - start) / chunks
    require_room(*stats.values())
    return seconds

  work()
  return work


def chunk_flops(c: settings.Stream, T: int, features: int = F) -> float:
  """Of a chunk with one dictionary, for an activation."""
  model = settings.Transformer()
  tokens = T / c.positions_per_context
  d = settings.Dictionary(features=features)
  path = 'always' if sparse.pays(d) else 'never'
  return lm_cost.site_flops(model, T) * tokens + step_flops(features, path)


def make_harvest(c: settings.Stream) -> Callable:
  dtype = compute_dtype(c.precision)
  return jax.jit(functools.partial(stream.harvest, c, forward, dtype=dtype))


def waiting(work: Callable) -> Callable[[], float]:
  """A function to the seconds until what `work` computes is there."""
  seconds = lambda: timed(lambda: jax.block_until_ready(work()))
  seconds()
  return seconds


def one_dictionary(
  c: settings.Stream, lm, batch: tuple[np.ndarray, ...], chunks: int = 1
) -> Work:
  """The chunk, and its parts: the forward pass, and its steps on one batch."""
  d = {'A1': settings.Dictionary(features=F)}
  harvest = make_harvest(c)
  x_NA = harvest(lm, *batch).reshape(-1, A)[: c.batch_size]
  step = jnp.zeros((), jnp.int32)
  state = StreamState.of(step, d, {'A1': sparse_state(F, x_NA, L0)})
  return {
    'forward': waiting(lambda: harvest(lm, *batch)),
    'steps': many(bare_steps(x_NA, F, ('auto',))['auto'], steps_of(c)),
    'whole': make_chunks(c, d, lm, batch, state, chunks),
  }


def bench_stream(rounds: int, peers: str | None) -> dict[str, Speed]:
  T, P, C = 256, 128, 256
  c = stream_settings(C, P)
  batch = numbered(random_tokens(C, T))
  works = one_dictionary(c, transformer(T), batch)
  found = in_turn({x: works[x] for x in ('whole', 'steps')}, rounds or 9)
  speed = Speed(C * P, found['whole'], chunk_flops(c, T))
  share = f'{ratio(found["steps"], found["whole"]):.1%}'
  table(
    f'stream: activations from tokens (T={T}, P={P}, L0 {L0})',
    ('', *SPEED, 'of the bare step'),
    ('whole', *speed.cells(), share),
  )
  return {'whole': speed}


def bench_dictionaries(rounds: int, peers: str | None) -> dict[str, Speed]:
  """All positions are kept: about as many tokens per activation as in A/1."""
  features, T, C = 1_024, 256, 128 if on_cpu() else 4_096
  lm, batch = transformer(T), numbered(random_tokens(C, T))
  how = {x: stream_settings(C, T, stack=x) for x in ('map', 'vmap')}
  c, counts = how['map'], (1, 2, 4, 8)
  x_NA, harvest = random_rows(N), make_harvest(c)
  bare = [bare_steps(x_NA, features, ('auto',))['auto'] for _ in range(8)]
  works = {(0, 'forward'): waiting(lambda: harvest(lm, *batch))}
  for Z in counts:
    d = {
      f'A{z}': settings.Dictionary(
        features=features, seed=z, l1=1e-3 * (z + 1), lr=1e-5 * (z + 1)
      )
      for z in range(Z)
    }
    alone = [many(step, steps_of(c)) for step in bare[:Z]]
    works[Z, 'bare'] = lambda alone=alone: sum(one() for one in alone)
    for x in how:
      state = jax.jit(functools.partial(init_stream, d, A))()
      works[Z, x] = make_chunks(how[x], d, lm, batch, state)
  found = in_turn(works, rounds or 5)
  model = settings.Transformer()
  speeds = {
    f'{Z}, {x}': Speed(
      C * T * Z,
      found[Z, x],
      lm_cost.site_flops(model, T) / Z + step_flops(features, 'never'),
    )
    for Z in counts
    for x in how
  }
  rows = [
    (
      f'{Z}',
      f'{statistics.median(found[Z, "bare"]):.2f} s',
      *(f'{ratio(found[Z, x], found[Z, "bare"]):.3f}x' for x in how),
      f'{ratio(found[0, "forward"], found[Z, "map"]):.1%}',
      *speeds[f'{Z}, map'].cells(),
    )
    for Z in counts
  ]
  table(
    f'dictionaries: {A} -> {features:,}, batch {N:,}, chunks of {C * T:,} '
    'activations (aim: 1.05x at 8)',
    ('', 'bare steps', 'map', 'vmap', 'forward in map', *SPEED),
    *rows,
  )
  return speeds


def worker_run(
  data: str, features: int, batch: int, buffer: int, l1: float, lr: float
) -> Work:
  """A whole training of stage `sae`, less what it writes, as a worker.

  Arguments and result as for `peers.saelens_run`.
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


def bench_train(rounds: int, peers: str | None) -> dict[str, Speed]:
  """A process of its own for every run, so that each of them compiles."""
  T, buffer, chunks = 256, 32_768 if on_cpu() else 1_048_576, 8
  total = buffer * chunks
  lm = transformer(T)
  # Noise, or biases and norms would be 0 and 1 and the check not see them.
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

    works = {'ours': lambda: run(ours('run', **arguments))}
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
      (f'behind {buffer:,}', both[1], total - buffer, seconds['ours'][1]),
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
    print(f'  the same activations in both, up to {difference:.1g}')
  return speeds


def bench_pipeline(rounds: int, peers: str | None) -> dict[str, Speed]:
  """A chunk, and its parts each measured apart, in turn.

  The steps gather too, but one batch that lies together.
  """
  T, P, vocab_size = 256, 250, 65_536
  C, batch_size, chunks = (256, 8_000, 1) if on_cpu() else (4_096, N, 5)
  c = stream_settings(C, P, batch_size)
  lm = transformer(T, vocab_size)
  batch = numbered(random_tokens(C, T, vocab_size))
  shuffle = jax.jit(functools.partial(stream.shuffled_index, c))
  rows = stream.Rows(make_harvest(c)(lm, *batch), shuffle(jnp.int32(0)))

  @jax.jit
  def gather(rows):
    # Carried, so that every batch is written, and none optimised away.
    take = jax.vmap(rows.take)
    like = jax.eval_shape(take, rows.index_SMGn[0])
    return jax.lax.scan(
      lambda _, index_MGn: (take(index_MGn), None),
      jnp.zeros(like.shape, like.dtype),
      rows.index_SMGn,
    )

  works = one_dictionary(c, lm, batch, chunks)
  works['shuffle'] = waiting(lambda: shuffle(jnp.int32(0)))
  works['gather'] = waiting(lambda: gather(rows))
  names = 'forward', 'shuffle', 'gather', 'steps', 'whole'
  found = in_turn({name: works[name] for name in names}, rounds or 5)
  whole = found['whole']
  parts = zip(whole, *(found[name] for name in names[:-1]), strict=True)
  found['rest'] = [all_of_it - sum(apart) for all_of_it, *apart in parts]
  flops = {
    'forward': lm_cost.site_flops(settings.Transformer(), T) * T / P,
    'steps': chunk_flops(c, 0),
    'whole': chunk_flops(c, T),
  }
  speeds = {name: Speed(C * P, found[name], flops[name]) for name in flops}
  table(
    f'pipeline: activations from tokens, {A} -> {F:,}, batch {batch_size:,}, '
    f'L0 {L0}, T={T}, P={P}, C={C:,} (aim: 5 million/s on an H100 or H200)',
    ('', 'ms of a chunk', 'share', *SPEED),
    *(
      (
        name,
        f'{statistics.median(own) * 1e3:,.1f}',
        f'{ratio(own, whole):.1%}',
        *(speeds[name].cells() if name in speeds else '-' * len(SPEED)),
      )
      for name, own in found.items()
    ),
  )
  return speeds


def bench_lm(rounds: int, peers: str | None) -> dict[str, Speed]:
  T, S = 128, 4
  c = settings.Transformer(micro_batch=4 if on_cpu() else 0, steps_per_chunk=S)
  init = functools.partial(
    lm_train.init, c, vocab_size=V, context=T, separator=0
  )
  chunk, state = lm_train.make_chunk(c), [jax.jit(init)()]
  tokens_SBT = random_tokens(S * c.batch_size, T).reshape(S, -1, T)

  def work():
    state[0], stats = chunk(state[0], tokens_SBT)
    jax.block_until_ready(stats)

  work()
  seconds = [timed(work) for _ in range(rounds or 9)]
  speed = Speed(tokens_SBT.size, seconds, 3 * lm_cost.flops(c, V, T))
  table(
    f'lm: tokens, V={V:,}, T={T}, batch {c.batch_size}',
    ('', *SPEED),
    ('a step', *speed.cells()),
  )
  return {'a step': speed}


def bench_features(rounds: int, peers: str | None) -> dict[str, Speed]:
  """The whole pass, windows included, against forward and encode alone."""
  T, contexts = 128, 8_192
  c = settings.Features(batch_size=32)
  dot, lm = auto_dot(), transformer(T)
  tokens_CT = random_tokens(contexts, T)
  # A bias that leaves some 20 of the features active, as a trained one does.
  sae = sae_lib.init(jax.random.key(0), A, F)
  x_NA = forward(lm, tokens_CT[:8]).reshape(-1, A)
  sae = sae.replace(b_enc_F=bias_for(x_NA @ sae.W_enc_AF, 20))

  @jax.jit
  def bare_step(lm, sae, tokens_BT):
    x_NA = forward(lm, tokens_BT).reshape(-1, A)
    return sae_lib.encode(sae, x_NA, dot)

  def bare():
    for i in range(0, contexts, c.batch_size):
      f_NF = bare_step(lm, sae, tokens_CT[i : i + c.batch_size])
    f_NF.block_until_ready()

  def batches():
    for i in range(0, contexts, c.batch_size):
      yield (
        tokens_CT[i : i + c.batch_size],
        np.arange(i, i + c.batch_size, dtype=np.int32),
      )

  def whole():
    found = collect.collect(
      c, forward, dot, lm, sae, batches, tokens_CT.size, lambda n: None
    )
    _, edge_F, _ = examples.histograms(found)
    context_FX, position_FX = examples.candidates(c, found, edge_F, contexts, T)
    seen = examples.look(
      c,
      forward,
      dot,
      lm,
      sae,
      lambda context_B: tokens_CT[context_B],
      context_FX,
      position_FX,
      lambda done, rows: None,
    )
    examples.choose(c, seen, context_FX)

  bare()
  works = {'whole': lambda: timed(whole), 'bare': lambda: timed(bare)}
  found = in_turn(works, rounds or 2)
  flops = lm_cost.site_flops(settings.Transformer(), T) + 2 * A * F
  speeds = {x: Speed(tokens_CT.size, found[x], flops) for x in found}
  table(
    f'features: {tokens_CT.size:,} tokens, {F:,} features',
    ('', *SPEED, 'of forward and encode'),
    *(
      (x, *speeds[x].cells(), f'{ratio(found[x], found["bare"]):.2f}x')
      for x in found
    ),
  )
  return speeds


BENCHES = {
  'step': bench_step,
  'scale': bench_scale,
  'batch': bench_batch,
  'sparse': bench_sparse,
  'stream': bench_stream,
  'dictionaries': bench_dictionaries,
  'train': bench_train,
  'pipeline': bench_pipeline,
  'lm': bench_lm,
  'features': bench_features,
}
WORKERS = {'steps': worker_steps, 'run': worker_run}


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('what', nargs='*', help='default: all')
  parser.add_argument('--peers', help='a Python with the other systems')
  parser.add_argument('--rounds', type=int, default=0, help='0: as each needs')
  parser.add_argument(
    '--device', help='cpu, cuda, tpu; default: what JAX finds'
  )
  parser.add_argument('--json', type=pathlib.Path, help='gets every figure')
  parser.add_argument('--worker', help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.device:
    jax.config.update('jax_platforms', args.device)
  if args.worker:
    arguments = json.loads(args.what[0])
    serve(lambda: WORKERS[args.worker](**arguments))
    return
  unknown = set(args.what) - set(BENCHES)
  if unknown:
    parser.error(f'unknown: {", ".join(unknown)} (known: {", ".join(BENCHES)})')
  if args.peers and not on_cpu():
    parser.error('--peers: the other systems run on a CPU: add --device=cpu')
  told = {'device': jax.devices()[0].device_kind, 'jax': jax.__version__}
  for name in args.what or BENCHES:
    speeds = BENCHES[name](args.rounds, args.peers)
    told[name] = {key: speed.told() for key, speed in speeds.items()}
    if args.json:
      args.json.write_text(json.dumps(told, indent=1))


if __name__ == '__main__':
  main()
