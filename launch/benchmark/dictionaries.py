"""1 to 8 dictionaries on one stream."""

import functools
import statistics

import jax

from launch.benchmark.bare import (
  A,
  N,
  bare_steps,
  many,
  random_rows,
  step_flops,
)
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
  make_chunks,
  make_harvest,
  numbered,
  random_tokens,
  steps_of,
  stream_settings,
  transformer,
)
from monosem_jax.config import settings
from monosem_jax.device.cost import transformer as lm_cost
from monosem_jax.dictionary.state import init_stream


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
  """Measures 1, 2, 4 and 8 dictionaries.

  All positions are kept, which is about the tokens per activation of A/1.
  """
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
