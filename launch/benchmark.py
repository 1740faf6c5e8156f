"""How fast the program is: medians and ratios, each pair measured in one run.

  python launch/benchmark.py [step] [stream] [lm] [features] [--peers=PYTHON]

step      one training step of a dictionary, 512 -> 4,096, batch 8,192, float32
          on CPU; beside SAELens and dictionary_learning where PYTHON, another
          interpreter, has them: all in turn, round after round.
stream    tokens to trained activations (forward, shuffle, steps), as a share of
          the bare step's rate.
lm        a training step of the transformer.
features  the pass over tokens, as a multiple of the bare forward and encode.

Every figure is a median over rounds; a machine that is shared drifts, so quote
the ratios.
"""

import argparse
import contextlib
import functools
import os
import pathlib
import statistics
import subprocess
import sys
import time

A, F, N = 512, 4_096, 8_192


def timed(work) -> float:
  start = time.perf_counter()
  work()
  return time.perf_counter() - start


# Workers: one system each, in a process of its own; `make` returns a function
# that trains one step and waits for it.


def make_ours():
  import jax
  import jax.numpy as jnp

  from monosem_jax import settings
  from monosem_jax.dictionary import stream
  from monosem_jax.dictionary.state import init
  from monosem_jax.dictionary.step import train_step
  from monosem_jax.precision import Dot, compute_dtype

  c = settings.Dictionary(features=F)
  dot = Dot(compute_dtype('auto'))
  micro = 2_048 if jax.default_backend() == 'cpu' else N
  x_NA = jax.nn.relu(jax.random.normal(jax.random.key(0), (N, A)))
  rows = stream.Rows(
    rows_UGrA=x_NA.reshape(1, 1, N, A).astype(dot.dtype),
    index_SMGn=jnp.arange(N).reshape(1, N // micro, 1, micro),
  )
  state = [jax.jit(lambda: init(c, A))()]
  step = jax.jit(
    lambda state, rows: train_step(c, state, rows, rows.index_SMGn[0], dot)[0],
    donate_argnums=0,
  )

  def work():
    state[0] = jax.block_until_ready(step(state[0], rows))

  return work


def make_saelens():
  import torch
  from sae_lens.config import SAETrainerConfig
  from sae_lens.saes.standard_sae import (
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
  )
  from sae_lens.training.sae_trainer import SAETrainer

  torch.manual_seed(0)
  x = torch.relu(torch.randn(N, A))
  trainer = SAETrainer(
    cfg=SAETrainerConfig(
      total_training_samples=N * 10_000,
      train_batch_size_samples=N,
      lr=1e-4,
      lr_end=1e-5,
    ),
    sae=StandardTrainingSAE(StandardTrainingSAEConfig(d_in=A, d_sae=F)),
    data_provider=iter([]),
  )
  return lambda: trainer._train_step(trainer.sae, x)


def make_dictionary_learning():
  import torch
  from dictionary_learning.trainers.standard import StandardTrainer

  torch.manual_seed(0)
  x = torch.relu(torch.randn(N, A))
  trainer = StandardTrainer(
    steps=10_000,
    activation_dim=A,
    dict_size=F,
    layer=0,
    lm_name='none',
    device='cpu',
  )
  steps = iter(range(1, 10_000))
  return lambda: trainer.update(next(steps), x)


WORKERS = {
  'ours': make_ours,
  'SAELens': make_saelens,
  'dictionary_learning': make_dictionary_learning,
}


def serve(name: str) -> None:
  """A worker: a step for every line read, its seconds written back."""
  out = os.dup(1)
  os.dup2(2, 1)  # libraries that print do not disturb the answers
  try:
    work = WORKERS[name]()
    work()
  except ImportError as e:
    os.write(out, f'missing {e}\n'.encode())
    return
  os.write(out, b'ready\n')
  for _ in sys.stdin:
    os.write(out, f'{timed(work)}\n'.encode())


@contextlib.contextmanager
def worker(python: str, name: str):
  """Yields a function that runs one step elsewhere, or None if it cannot."""
  process = subprocess.Popen(
    [python, __file__, '--worker', name],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )

  def ask() -> float:
    process.stdin.write('\n')
    process.stdin.flush()
    return float(process.stdout.readline())

  try:
    ready = process.stdout.readline().strip() == 'ready'
    yield ask if ready else None
  finally:
    process.stdin.close()
    process.wait(60)


def bench_step(rounds: int, peers: str | None) -> None:
  systems = {'ours': sys.executable}
  if peers:
    systems |= {'SAELens': peers, 'dictionary_learning': peers}
  with contextlib.ExitStack() as stack:
    asks = {
      name: stack.enter_context(worker(python, name))
      for name, python in systems.items()
    }
    for name in [n for n, ask in asks.items() if ask is None]:
      print(f'step     {name}: not installed there')
      del asks[name]
    seconds = {name: [] for name in asks}
    for _ in range(rounds):
      for name, ask in asks.items():
        seconds[name].append(ask())
  for name, own in seconds.items():
    ratios = [b / a for a, b in zip(seconds['ours'], own, strict=True)]
    print(
      f'step     {name:20} {N / statistics.median(own):10,.0f} activations/s, '
      f'min {N / max(own):,.0f}, max {N / min(own):,.0f}; '
      f'ours is {statistics.median(ratios):.2f}x'
    )


def _model(T: int):
  import jax

  from monosem_jax import settings
  from monosem_jax.transformer import train

  c = settings.Transformer()
  init = functools.partial(
    train.init, c, vocab_size=4_096, context=T, separator=0
  )
  return jax.jit(init)().model


def bench_stream(rounds: int) -> None:
  """The whole chunk against the same number of bare steps, in turn."""
  import jax
  import jax.numpy as jnp

  from monosem_jax import settings
  from monosem_jax.dictionary import train
  from monosem_jax.dictionary.state import init_stream

  T, P, C = 256, 128, 256
  on_cpu = jax.default_backend() == 'cpu'
  c = settings.Stream(
    contexts_per_chunk=C,
    positions_per_context=P,
    micro_batches=16,
    batch_size=N,
    micro_batch=2_048 if on_cpu else 0,
  )
  d = {'A1': settings.Dictionary(features=F)}
  lm = _model(T)
  tokens_CT = jax.random.randint(jax.random.key(1), (C, T), 0, 4_096)
  chunk = train.make_chunk(c, d, lambda lm, tokens: lm(tokens)[1])
  state = [jax.jit(lambda: init_stream(d, A))()]

  def run_chunk():
    state[0], stats = chunk(
      state[0], lm, tokens_CT, jnp.arange(C), jnp.zeros(C, jnp.int32)
    )
    jax.block_until_ready(stats)

  bare = make_ours()
  run_chunk()
  bare()
  steps = C * P // N
  pairs = [
    (timed(run_chunk), sum(timed(bare) for _ in range(steps)))
    for _ in range(rounds)
  ]
  whole = statistics.median(a for a, _ in pairs)
  share = statistics.median(b / a for a, b in pairs)
  print(
    f'stream   {C * P / whole:,.0f} activations/s from tokens (T={T}, P={P}); '
    f'{share:.1%} of the bare step'
  )


def bench_lm(rounds: int) -> None:
  import jax

  from monosem_jax import settings
  from monosem_jax.transformer import train

  T, S = 128, 4
  on_cpu = jax.default_backend() == 'cpu'
  c = settings.Transformer(micro_batch=4 if on_cpu else 0, steps_per_chunk=S)
  init = functools.partial(
    train.init, c, vocab_size=4_096, context=T, separator=0
  )
  chunk, state = train.make_chunk(c), [jax.jit(init)()]
  shape = (S, c.batch_size, T)
  tokens_SBT = jax.random.randint(jax.random.key(1), shape, 0, 4_096)

  def work():
    state[0], stats = chunk(state[0], tokens_SBT)
    jax.block_until_ready(stats)

  work()
  rate = (
    S * c.batch_size * T / statistics.median(timed(work) for _ in range(rounds))
  )
  print(f'lm       {rate:,.0f} tokens/s (V=4,096, T={T}, batch {c.batch_size})')


def bench_features(rounds: int) -> None:
  """The whole pass, windows included, against forward and encode alone."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from monosem_jax import settings
  from monosem_jax.dictionary import sae as sae_lib
  from monosem_jax.features import collect, examples
  from monosem_jax.precision import Dot, compute_dtype

  T, contexts = 128, 8_192
  c = settings.Features(batch_size=32)
  dot, lm = Dot(compute_dtype('auto')), _model(T)
  forward = lambda lm, tokens: lm(tokens)[1]
  tokens_CT = np.random.default_rng(0).integers(0, 4_096, (contexts, T))
  tokens_CT = tokens_CT.astype(np.int32)
  # A bias that leaves some 20 of the features active, as a trained one does.
  sae = sae_lib.init(jax.random.key(0), A, F)
  x_NA = forward(lm, tokens_CT[:8]).reshape(-1, A)
  bias = -jnp.quantile((x_NA @ sae.W_enc_AF).reshape(-1), 1 - 20 / F)
  sae = sae.replace(b_enc_F=jnp.full(F, bias))

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
      yield tokens_CT[i : i + c.batch_size], np.arange(i, i + c.batch_size)

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
  pairs = [(timed(whole), timed(bare)) for _ in range(rounds)]
  ratio = statistics.median(a / b for a, b in pairs)
  rate = tokens_CT.size / statistics.median(a for a, _ in pairs)
  print(
    f'features {rate:,.0f} tokens/s for {F:,} features and '
    f'{tokens_CT.size:,} tokens; {ratio:.2f}x forward and encode'
  )


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('what', nargs='*', help='default: all')
  parser.add_argument('--peers', help='a Python with the peers')
  parser.add_argument('--rounds', type=int, default=9)
  parser.add_argument('--worker', help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.worker:
    serve(args.worker)
    return
  benches = {
    'step': lambda: bench_step(args.rounds, args.peers),
    'stream': lambda: bench_stream(args.rounds),
    'lm': lambda: bench_lm(args.rounds),
    'features': lambda: bench_features(max(1, args.rounds // 4)),
  }
  unknown = set(args.what) - set(benches)
  if unknown:
    parser.error(f'unknown: {", ".join(unknown)} (known: {", ".join(benches)})')
  for name in args.what or benches:
    benches[name]()


if __name__ == '__main__':
  # The scripts lie beside the package, and need no install of it.
  sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
  main()
