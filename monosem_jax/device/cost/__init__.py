"""What the program computes and holds on each device, from its settings.

Pure arithmetic on shapes: no array is made and no jax is imported. FLOPs are
those of matrix products, 2 per multiply-add, and only such as the result needs
("model FLOPs"). What is moved and sent is not told here but read from compiled
programs: `hlo`, `runs`, `collectives`, `told`.
"""

import dataclasses
import math

# Bytes of the numbers that weights, moments, gradients and results are.
F32 = 4


@dataclasses.dataclass(frozen=True)
class Devices:
  """The mesh: devices along each of its axes."""

  data: int = 1
  feature: int = 1

  @property
  def count(self) -> int:
    return self.data * self.feature


def bytes_text(n: float) -> str:
  """Bytes for a person: 1.5 GiB."""
  unit = min(int(math.log(max(n, 1), 1024)), 5)
  return f'{n / 1024**unit:.3g} ' + ('B', *_prefixed('iB'))[unit]


def flops_text(n: float) -> str:
  """FLOPs for a person: 1.5 TFLOP."""
  unit = min(int(math.log(max(n, 1), 1000)), 5)
  return f'{n / 1000**unit:.3g} ' + ('FLOP', *_prefixed('FLOP'))[unit]


def _prefixed(unit: str) -> list[str]:
  return [prefix + unit for prefix in 'KMGTP']
