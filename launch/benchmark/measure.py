"""Timing by turns, speeds, and tables."""

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
  """The results of each work over rounds in which they take turns."""
  found = {name: [] for name in works}
  for _ in range(rounds):
    for name, work in works.items():
      found[name].append(work())
  return found


def ratio(seconds: list[float], others: list[float]) -> float:
  """The median over rounds of the ratio within a round."""
  pairs = zip(seconds, others, strict=True)
  return statistics.median(a / b for a, b in pairs)


@functools.cache
def peak() -> float:
  """Peak FLOP/s of the device for matrix products; 0 if unknown."""
  known = hardware.find(jax.devices()[0].device_kind)
  return known.peak(compute_dtype('auto').name) if known else 0.0


@dataclasses.dataclass(frozen=True)
class Speed:
  """A measured speed.

  Attributes:
    units: number of units processed in a round, such as activations.
    seconds: duration of each round.
    flops: FLOPs of the matrix products per unit; 0 if unknown.
  """

  units: int
  seconds: list[float]
  flops: float = 0.0

  def told(self) -> dict[str, float | int]:
    """Units per second (median, least, most), FLOP/s, and MFU if known."""
    each = [self.units / seconds for seconds in self.seconds]
    found = {'per_second': statistics.median(each), 'rounds': len(each)}
    found |= {'least': min(each), 'most': max(each)}
    if self.flops:
      found['flops_per_second'] = self.flops * found['per_second']
      if peak():
        found['mfu'] = found['flops_per_second'] / peak()
    return found

  def cells(self) -> tuple[str, ...]:
    """The cells of a table for the columns SPEED."""
    found = self.told()
    return (
      *(f'{found[key]:,.0f}' for key in ('per_second', 'least', 'most')),
      flops_text(found['flops_per_second']) + '/s' if self.flops else '-',
      f'{found["mfu"]:.1%}' if 'mfu' in found else '-',
    )


SPEED = 'a second', 'least', 'most', 'FLOP/s', 'MFU'


def table(title: str, *rows: tuple[str, ...]) -> None:
  """Prints rows in columns, below a title."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  print(title)
  for row in rows:
    cells = [x.rjust(w) for x, w in zip(row, widths, strict=True)]
    print('  ' + '  '.join(cells), flush=True)


def waiting(work: Callable) -> Callable[[], float]:
  """A function that returns the seconds until `work`'s arrays are ready."""
  seconds = lambda: timed(lambda: jax.block_until_ready(work()))
  seconds()
  return seconds
