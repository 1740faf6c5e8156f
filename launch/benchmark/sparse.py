"""The training step for 32,768 and 131,072 features, beside other systems."""

from launch.benchmark.bare import L0, A
from launch.benchmark.compare import compared
from launch.benchmark.measure import Speed


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
  speeds, batch = {}, 1_024
  for features in (32_768, 131_072):
    size = f'{A} -> {features:,}, batch {batch:,}, L0 {L0}'
    title = f'sparse: {size}; activations (aim: 2x SAELens)'
    found = compared(title, peers, rounds or 5, features, batch)
    speeds |= {f'{features}, {name}': one for name, one in found.items()}
  return speeds
