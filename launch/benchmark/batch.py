"""The training step for several batch sizes."""

from launch.benchmark.bare import (
  L0,
  PATHS,
  A,
  F,
  N,
  bare_steps,
  random_rows,
  step_flops,
)
from launch.benchmark.measure import SPEED, Speed, in_turn, on_cpu, ratio, table


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
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
