"""The stream in A/1's shape, and the time of its parts."""

import functools
import statistics

import jax
import jax.numpy as jnp

from launch.benchmark.bare import L0, A, F, N
from launch.benchmark.measure import (
  SPEED,
  Speed,
  in_turn,
  on_cpu,
  ratio,
  table,
  waiting,
)
from launch.benchmark.streams import (
  chunk_flops,
  make_harvest,
  numbered,
  one_dictionary,
  random_tokens,
  stream_settings,
  transformer,
)
from monosem_jax.config import settings
from monosem_jax.device.cost import transformer as lm_cost
from monosem_jax.dictionary import stream


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
  """Measures a chunk and each of its parts.

  The part `steps` also gathers rows, but from one contiguous batch.
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
    # A carry makes every batch be written, so that none is optimized away.
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
