"""FLOPs and memory of the program on each device, computed from its settings.

The formulas are arithmetic on shapes: they make no array and import no jax.
FLOPs are "model FLOPs": matrix products that the result needs, 2 per
multiply-add. Traffic and communication are read from compiled programs instead:
`hlo`, `executions`, `collectives`, `estimate`.
"""

import dataclasses
import math

# Bytes per number of weights, moments, gradients and results.
F32 = 4


@dataclasses.dataclass(frozen=True)
class Devices:
  """The number of devices along each axis of the mesh."""

  data: int = 1
  feature: int = 1

  @property
  def count(self) -> int:
    return self.data * self.feature


def bytes_text(n: float) -> str:
  """Formats bytes: 1.5 GiB."""
  unit = min(int(math.log(max(n, 1), 1024)), 5)
  return f'{n / 1024**unit:.3g} ' + ('B', *_prefixed('iB'))[unit]


def flops_text(n: float) -> str:
  """Formats FLOPs: 1.5 TFLOP."""
  unit = min(int(math.log(max(n, 1), 1000)), 5)
  return f'{n / 1000**unit:.3g} ' + ('FLOP', *_prefixed('FLOP'))[unit]


def _prefixed(unit: str) -> list[str]:
  return [prefix + unit for prefix in 'KMGTP']
