"""What the program computes, moves and holds on each device, from settings.

Pure arithmetic on shapes: no array is made and no jax is imported. FLOPs are
those of matrix products, 2 per multiply-add, and only such as the result needs
("model FLOPs"); element by element work shows up as memory traffic.

Traffic is a model of XLA's fusions on an accelerator: a product reads both
operands and writes its result, what is done to the result element by element is
another pass over it, and nothing stays in a cache between the two.
On a CPU whose cache holds a micro-batch it is an upper bound.
"""

import dataclasses
import math
from collections.abc import Mapping

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


@dataclasses.dataclass(frozen=True)
class Work:
  """What one device does.

  Attributes:
    flops: of matrix products, 2 per multiply-add.
    traffic: bytes read from and written to the device's memory.
    sent: bytes sent to other devices, as many as are received.
  """

  flops: float = 0.0
  traffic: float = 0.0
  sent: float = 0.0

  def __add__(self, other: 'Work') -> 'Work':
    return Work(
      self.flops + other.flops,
      self.traffic + other.traffic,
      self.sent + other.sent,
    )

  def __mul__(self, n: float) -> 'Work':
    return Work(n * self.flops, n * self.traffic, n * self.sent)


# Work by the name of its phase. Phases run one after the other.
Phases = Mapping[str, Work]


def total(phases: Phases) -> Work:
  return sum(phases.values(), Work())


def all_reduce(size: float, n: int) -> float:
  """Bytes each of n devices sends to sum an array of `size` bytes in a ring."""
  return 2 * size * (n - 1) / n


def all_gather(size: float, n: int) -> float:
  """Bytes each of n devices sends to gather an array of `size` in a ring."""
  return size * (n - 1) / n


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
