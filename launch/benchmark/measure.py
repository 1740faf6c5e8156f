"""Timing in turn, speeds and tables."""

import dataclasses
import functools
import statistics
from collections.abc import Callable, Mapping

import jax

from launch.benchmark.peers import timed
from monosem_jax.device.cost import flops_text, hardware
from monosem_jax.device.precision import compute_dtype


def on_cpu() -> bool:
  return jax.default_backend() == 'cpu'


def in_turn(works: Mapping, rounds: int) -> dict:
  """What each work returns, round after round."""
  found = {name: [] for name in works}
  for _ in range(rounds):
    for name, work in works.items():
      found[name].append(work())
  return found


def ratio(seconds: list[float], others: list[float]) -> float:
  """The median ratio of what was measured in the same round."""
  pairs = zip(seconds, others, strict=True)
  return statistics.median(a / b for a, b in pairs)


@functools.cache
def peak() -> float:
  """Peak FLOP/s of the device in the products that are measured; 0: unknown."""
  known = hardware.find(jax.devices()[0].device_kind)
  return known.peak(compute_dtype('auto').name) if known else 0.0


@dataclasses.dataclass(frozen=True)
class Speed:
  """How fast something is.

  Attributes:
    units: what it works on, in the seconds of a round.
    seconds: of each round.
    flops: of matrix products, for a unit; 0: the same as another's.
  """

  units: int
  seconds: list[float]
  flops: float = 0.0

  def told(self) -> dict[str, float | int]:
    """Units a second (median, least, most); FLOP/s; MFU, where it is known."""
    each = [self.units / seconds for seconds in self.seconds]
    found = {'per_second': statistics.median(each), 'rounds': len(each)}
    found |= {'least': min(each), 'most': max(each)}
    if self.flops:
      found['flops_per_second'] = self.flops * found['per_second']
      if peak():
        found['mfu'] = found['flops_per_second'] / peak()
    return found

  def cells(self) -> tuple[str, ...]:
    """Those of SPEED."""
    found = self.told()
    return (
      *(f'{found[key]:,.0f}' for key in ('per_second', 'least', 'most')),
      flops_text(found['flops_per_second']) + '/s' if self.flops else '-',
      f'{found["mfu"]:.1%}' if 'mfu' in found else '-',
    )


SPEED = 'a second', 'least', 'most', 'FLOP/s', 'MFU'


def table(title: str, *rows: tuple[str, ...]) -> None:
  """Prints rows below a title, in columns."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  print(title)
  for row in rows:
    cells = [x.rjust(w) for x, w in zip(row, widths, strict=True)]
    print('  ' + '  '.join(cells), flush=True)


def waiting(work: Callable) -> Callable[[], float]:
  """A function to the seconds until what `work` computes is there."""
  seconds = lambda: timed(lambda: jax.block_until_ready(work()))
  seconds()
  return seconds
