"""One training step at A/1's shape, beside other systems."""

from launch.benchmark.bare import L0, A, F, N
from launch.benchmark.compare import compared
from launch.benchmark.measure import Speed


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
  title = f'step: {A} -> {F:,}, batch {N:,}, L0 {L0}; activations'
  return compared(title, peers, rounds or 9, F, N)
