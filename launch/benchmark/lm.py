"""A training step of the transformer."""

import functools

import jax

from launch.benchmark.bare import V
from launch.benchmark.measure import SPEED, Speed, on_cpu, table
from launch.benchmark.peers import timed
from launch.benchmark.streams import random_tokens
from monosem_jax.config import settings
from monosem_jax.device.cost import transformer as lm_cost
from monosem_jax.transformer import train as lm_train


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
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
