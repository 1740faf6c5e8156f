"""Shared parts of the benchmarks from tokens to trained activations."""

import functools
import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from launch.benchmark.bare import (
  L0,
  A,
  F,
  N,
  V,
  bare_steps,
  many,
  micro_batch,
  require_room,
  sparse_state,
  step_flops,
)
from launch.benchmark.measure import waiting
from launch.benchmark.peers import Work
from monosem_jax.config import settings
from monosem_jax.device.cost import transformer as lm_cost
from monosem_jax.device.precision import compute_dtype
from monosem_jax.dictionary import sparse, stream, train as dictionary_train
from monosem_jax.dictionary.state import StreamState
from monosem_jax.stages.programs import forward
from monosem_jax.transformer import train as lm_train


def transformer(T: int, vocab_size: int = V):
  """An initialized transformer, whose separator is not a random token."""
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
  """S, the number of steps of a chunk."""
  return c.contexts_per_chunk * c.positions_per_context // c.batch_size


def numbered(tokens_CT: np.ndarray) -> tuple[np.ndarray, ...]:
  """The arguments of a chunk for contexts of the first epoch."""
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
  """A function that returns the seconds of a chunk, averaged over `chunks`."""
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
  """FLOPs of a chunk with one dictionary, per activation."""
  model = settings.Transformer()
  tokens = T / c.positions_per_context
  d = settings.Dictionary(features=features)
  path = 'always' if sparse.pays(d) else 'never'
  return lm_cost.site_flops(model, T) * tokens + step_flops(features, path)


def make_harvest(c: settings.Stream) -> Callable:
  dtype = compute_dtype(c.precision)
  return jax.jit(functools.partial(stream.harvest, c, forward, dtype=dtype))


def one_dictionary(
  c: settings.Stream, lm, batch: tuple[np.ndarray, ...], chunks: int = 1
) -> Work:
  """A chunk (`whole`), its forward pass, and its steps on the same batch."""
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
