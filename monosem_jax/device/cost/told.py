"""What a compiler tells of a program on hardware that need not be here.

Estimates, all of them. On a TPU time is the compiler's own cycles, at the clock
of the matrix units. On a GPU, of which it gives none, every kernel takes as
long as its products at peak or its memory traffic at peak, whichever is longer.
Real kernels are slower: on an H100 A/1's chunk was measured at 1.48 times the
60.1 ms told of it, and at 1.47 times 52.8 with another step (README.md).
What devices send is added, at the peak of the links, as if nothing hid it.
"""

import collections
import dataclasses
from collections.abc import Mapping

from monosem_jax.device.cost import (
  bytes_text,
  collectives as sending,
  hlo,
  runs,
)
from monosem_jax.device.cost.hardware import Hardware

# Kernels that are printed.
_SHOWN = 10
# Named scopes of the chunks' programs.
PHASES = ('forward', 'shuffle', 'train', 'resample')


@dataclasses.dataclass(frozen=True)
class Phase:
  """A phase of a program, in one call of it, on one device.

  Attributes:
    seconds: of kernels.
    sending: of collectives.
    traffic: bytes read and written in main memory.
  """

  seconds: float = 0.0
  sending: float = 0.0
  traffic: float = 0.0

  def __add__(self, other: 'Phase') -> 'Phase':
    return Phase(
      self.seconds + other.seconds,
      self.sending + other.sending,
      self.traffic + other.traffic,
    )

  def __truediv__(self, n: float) -> 'Phase':
    return Phase(self.seconds / n, self.sending / n, self.traffic / n)

  @property
  def total(self) -> float:
    return self.seconds + self.sending


@dataclasses.dataclass(frozen=True)
class Call:
  """A chunk or a batch, as far as its time has to be told.

  Attributes:
    steps: of training in it.
    units: that it works on, on all devices.
    unit: what these are: tokens, activations.
    flops: of its matrix products, on one device.
    calls: in the whole training or pass.
    dtype: of its products.
    asked: how often in it whether to resample.
    name: what it is called.
  """

  steps: int
  units: int
  unit: str
  flops: float
  calls: float
  dtype: str
  asked: int = 1
  name: str = 'a chunk'


@dataclasses.dataclass(frozen=True)
class Kernel:
  """Instructions of one origin, in one call of a program, on one device.

  Attributes:
    phase: that they belong to.
    origin: the end of their scope in the Python program.
    array: the largest that each makes, as HLO writes it.
    times: how often they run.
    seconds: of all of them.
    traffic: bytes read and written in main memory.
  """

  phase: str
  origin: str
  array: str
  times: float
  seconds: float
  traffic: float


@dataclasses.dataclass(frozen=True)
class Told:
  """What is told of a program.

  Attributes:
    call: what it does.
    hardware: what it is compiled for.
    memory: bytes that it takes on a device.
    phases: of one call; what is in no named scope is ''.
    resampling: of one dictionary, had it to; in no phase.
    sent: bytes that a device sends in a call, and in how many instructions,
      by kind of collective and the axes that it crosses.
    kernels: of one call, the costliest first; without resampling.
  """

  call: Call
  hardware: Hardware
  memory: float
  phases: Mapping[str, Phase]
  resampling: Phase
  sent: Mapping[tuple[str, tuple[str, ...]], tuple[float, int]]
  kernels: tuple[Kernel, ...]

  @property
  def whole(self) -> Phase:
    """A call, without resampling."""
    return sum(self.phases.values(), Phase())

  @property
  def rate(self) -> float:
    """Units a second, on all devices."""
    return self.call.units / self.whole.total

  @property
  def mfu(self) -> float:
    """The products' share of what the device could do in that time."""
    peak = self.hardware.peak(self.call.dtype)
    return self.call.flops / self.whole.total / peak

  @property
  def seconds(self) -> float:
    """All calls, without resampling."""
    return self.call.calls * self.whole.total

  @property
  def fits(self) -> bool:
    return self.memory <= self.hardware.memory


def tell(
  text: str,
  memory: float,
  call: Call,
  hardware: Hardware,
  mesh: Mapping[str, int],
) -> Told:
  """Reads a compiled program.

  Args:
    text: its HLO, a device's.
    memory: bytes that it takes on a device.
    call: what it does.
    hardware: what it is compiled for.
    mesh: its axes and their sizes, in order.
  """
  program = hlo.parse(text)
  found: dict[str, Phase] = collections.defaultdict(Phase)
  kernels: dict[tuple[str, str, str], Kernel] = {}
  for run in runs.runs(program, PHASES):
    if not sending.is_collective(run.instruction):
      seconds = kernel_seconds(run, hardware, call.dtype)
      found[run.phase] += Phase(seconds, 0, run.traffic)
      if not run.branch:
        key = run.phase, _origin(run.instruction), _largest(run.instruction)
        k = kernels.get(key, Kernel(*key, 0, 0, 0))
        kernels[key] = Kernel(
          *key,
          times=k.times + run.times,
          seconds=k.seconds + seconds,
          traffic=k.traffic + run.traffic,
        )
  sent: dict[tuple[str, tuple[str, ...]], tuple[float, int]] = {}
  for c in sending.collectives(program, PHASES, mesh):
    found[c.phase] += Phase(sending=c.times * c.sent / hardware.link)
    before, n = sent.get((c.kind, c.axes), (0.0, 0))
    sent[c.kind, c.axes] = before + c.times * c.sent, n + 1
  # Its branch counts as taken each time that is asked.
  resampling = found.pop('resample', Phase())
  return Told(
    *(call, hardware, memory, dict(found), resampling / call.asked, sent),
    kernels=tuple(sorted(kernels.values(), key=lambda k: -k.seconds)),
  )


def _origin(i: hlo.Instruction) -> str:
  """The last name of an instruction's scope; of a product its einsum, too."""
  *_, before, last = ('', '', *i.scope.split('/'))
  return f'{before}/{last}' if last == 'dot_general' else last or i.opcode


def _largest(i: hlo.Instruction) -> str:
  largest = max(i.arrays, key=lambda a: a.bytes, default=None)
  if largest is None:
    return ''
  return f'{largest.dtype}[{",".join(map(str, largest.shape))}]'


def kernel_seconds(run: runs.Run, hardware: Hardware, dtype: str) -> float:
  """Seconds that all executions of an instruction take together."""
  if hardware.clock:
    return run.cycles / hardware.clock
  return run.times * max(
    run.flops / hardware.peak(dtype), run.bytes / hardware.bandwidth
  )


def lines(told: Told) -> list[str]:
  """What is printed of a program."""
  call, hardware, whole = told.call, told.hardware, told.whole
  at_peak = {
    'its products': call.flops / hardware.peak(call.dtype),
    'its memory traffic': whole.traffic / hardware.bandwidth,
  }
  fits = (
    'fits'
    if told.fits
    else f'TOO MUCH by {bytes_text(told.memory - hardware.memory)}'
  )
  shares = ', '.join(
    f'{name or "the rest"} {phase.total / whole.total:.0%}'
    for name, phase in sorted(told.phases.items(), key=lambda x: -x[1].total)
    if phase.total >= 0.005 * whole.total
  )
  found = [
    f"  {hardware.name}, compiler's estimates: {bytes_text(told.memory)} of "
    f'{bytes_text(hardware.memory)}: {fits}',
    f'    {call.name}: {time_text(whole.total)} ({shares}); at peak '
    + ', '.join(f'{name} {time_text(s)}' for name, s in at_peak.items()),
    f'    {told.rate:,.0f} {call.unit}/s, MFU {told.mfu:.0%}; all of them '
    f'{time_text(told.seconds)}',
  ]
  if told.resampling.total:
    found.append(f'    a resampling: {time_text(told.resampling.total)}')
  shown = told.kernels[:_SHOWN]
  share = sum(k.seconds for k in shown) / whole.total
  found.append(
    f'    costliest kernels of {call.name}, {share:.0%} of its time:'
  )
  found += [
    f'      {k.phase or "the rest":8}  {time_text(k.seconds):>7}'
    f'  {k.times:6,.0f} x  {bytes_text(k.traffic):>8}  {k.origin}  {k.array}'
    for k in shown
  ]
  return found + [
    f'    {n} x {kind} along {" and ".join(axes) or "no axis"}: '
    f'{bytes_text(sent / call.steps)} sent a step'
    for (kind, axes), (sent, n) in sorted(
      told.sent.items(), key=lambda x: -x[1][0]
    )
  ]


def time_text(seconds: float) -> str:
  """Seconds for a person: 1.5 h."""
  units = ('d', 86_400), ('h', 3_600), ('min', 60), ('s', 1)
  for unit, size in units:
    if seconds >= (2 * size if size > 1 else 1):
      return f'{seconds / size:.3g} {unit}'
  return f'{1e3 * seconds:.3g} ms'
