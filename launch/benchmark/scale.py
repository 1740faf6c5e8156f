"""The training step for 512 to 131,072 features."""

import statistics

from launch.benchmark.bare import (
  PATHS,
  A,
  F,
  N,
  bare_steps,
  many,
  random_rows,
  step_flops,
)
from launch.benchmark.measure import Speed, in_turn, ratio, table
from monosem_jax.config import settings
from monosem_jax.dictionary import sparse


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
  """Measures each size by turns with the dense step at F.

  Ratios to that step cancel the drift of the machine.
  """
  dense, rows, speeds, x_NA = [], [], {}, random_rows(N)
  l0 = 40  # with 50, one row in some thousands has no room at 131,072
  beside = bare_steps(x_NA, F, ('never',))['never']
  for features in (512, 2_048, 8_192, 32_768, 131_072):
    repeat = max(1, F // features)  # so that it takes as long as the step at F
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
    f'within 25%: the most expensive is {spread:.0%} above the cheapest'
  )
  return speeds
