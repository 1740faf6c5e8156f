"""Bare steps: a dictionary trained repeatedly on the same batch."""

import functools
import math
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from launch.benchmark.measure import on_cpu
from launch.benchmark.peers import Work
from monosem_jax.config import settings
from monosem_jax.device.cost import dictionary as dictionary_cost
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary import stream
from monosem_jax.dictionary.state import DictionaryState, init
from monosem_jax.dictionary.step import train_step

A, F, N, V = 512, 4_096, 8_192, 4_096
# Active features of a row.
L0 = 50
# Names of the paths of `settings.Dictionary.sparse`.
PATHS = {'never': 'dense', 'always': 'sparse'}


def step_flops(features: int, path: str) -> int:
  """FLOPs of a training step per row; `path`: `settings.Dictionary.sparse`."""
  d = settings.Dictionary(features=features, sparse=path)
  return dictionary_cost.flops(d, A)


def micro_batch(batch: int, features: int) -> int:
  """The number of rows encoded at a time.

  On a CPU it is small enough for f_NF to stay in the cache, and large enough
  that adding up gradients costs little.
  """
  most = max(1_024, min(2_048, 2**23 // features)) if on_cpu() else batch
  return max(n for n in range(1, most + 1) if batch % n == 0)


def steps_per_call() -> int:
  """Steps per call; an accelerator may finish a step before the host's call."""
  return 1 if on_cpu() else 20


@functools.cache
def bare_step(features: int, path: str) -> Callable:
  """Compiles `call(state, rows) -> (state, numbers)` of one or more steps.

  `path` is a value of `settings.Dictionary.sparse`.
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
  """The encoder bias with which `l0` features of a row are active: b_enc_F."""
  features = pre_NF.shape[1]
  return jnp.full(features, -jnp.quantile(pre_NF.ravel(), 1 - l0 / features))


def sparse_state(features: int, x_NA: jax.Array, l0: float) -> DictionaryState:
  """A dictionary with `l0` active features.

  Initialized dictionaries have half of their features active. The learning rate
  is 0, so that the L0 stays the same.
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
  """For each path, a function that returns the seconds of a step.

  All paths share a state.
  """
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
  """A function that returns the seconds of `steps` steps.

  On an accelerator it scales up the time of fewer calls.
  """
  calls = steps if on_cpu() else math.ceil(steps / steps_per_call())
  return lambda: sum(step() for _ in range(calls)) / calls * steps


def require_room(*numbers: dict[str, jax.Array]) -> None:
  """Raises if a sparse step fell back to dense products and so misleads."""
  if any(np.any(own.get('fallbacks', 0)) for own in numbers):
    raise RuntimeError('some rows have too many active features for sparse')
