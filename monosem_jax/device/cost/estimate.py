"""A compiler's estimates for a program on hardware that need not be present.

On a TPU, time is the compiler's own cycles at the clock of the matrix units. A
GPU's compiler gives no cycles, so each kernel takes as long as its products at
peak or its memory traffic at peak, whichever is longer. Real kernels are
slower: on an H100, A/1's chunk took 1.48 times the estimate of 60.1 ms, and
with another step 1.47 times that of 52.8 ms (launch/benchmark/README.md).
Communication is added at the peak of the links, as if nothing overlapped it.
"""

import collections
import dataclasses
from collections.abc import Mapping

from monosem_jax.device.cost import (
  bytes_text,
  collectives as sending,
  executions,
  hlo,
)
from monosem_jax.device.cost.hardware import Hardware

# Kernels printed per program.
_SHOWN = 10
# Named scopes of the chunks' programs.
PHASES = ('forward', 'shuffle', 'train', 'resample')


@dataclasses.dataclass(frozen=True)
class Phase:
  """A phase of one call of a program, on one device.

  Attributes:
    seconds: time of kernels.
    sending: time of collectives, in seconds.
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
  """A call of a program (a chunk or a batch), as far as estimates need it.

  Attributes:
    steps: training steps per call.
    units: units processed per call, on all devices.
    unit: name of the units: tokens, activations.
    flops: FLOPs of matrix products per call, on one device.
    calls: calls in the whole training or pass.
    dtype: dtype of the products.
    resampling_branches: conditional branches per call that may resample.
    name: name of the call in messages.
  """

  steps: int
  units: int
  unit: str
  flops: float
  calls: float
  dtype: str
  resampling_branches: int = 1
  name: str = 'a chunk'


@dataclasses.dataclass(frozen=True)
class Kernel:
  """Instructions of one origin, in one call of a program, on one device.

  Attributes:
    phase: phase that they belong to.
    origin: last part of their scope in the Python program.
    array: largest array that each produces, as HLO writes it.
    times: executions.
    seconds: time of all executions.
    traffic: bytes read and written in main memory by all executions.
  """

  phase: str
  origin: str
  array: str
  times: float
  seconds: float
  traffic: float


@dataclasses.dataclass(frozen=True)
class Estimate:
  """The estimates for a program.

  Attributes:
    call: the call that is estimated.
    hardware: the hardware that it is compiled for.
    memory: bytes that it needs on a device.
    phases: phases of one call, without resampling; '' is outside all scopes.
    resampling: one resampling of one dictionary.
    sent: bytes that a device sends per call, and the number of instructions, by
      kind of collective and mesh axes.
    kernels: kernels of one call without resampling, the costliest first.
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
    """The whole call, without resampling."""
    return sum(self.phases.values(), Phase())

  @property
  def rate(self) -> float:
    """Units per second, on all devices."""
    return self.call.units / self.whole.total

  @property
  def mfu(self) -> float:
    """Model FLOPs utilisation: FLOPs of the products over peak FLOPs."""
    peak = self.hardware.peak(self.call.dtype)
    return self.call.flops / self.whole.total / peak

  @property
  def seconds(self) -> float:
    """Seconds of all calls, without resampling."""
    return self.call.calls * self.whole.total

  @property
  def fits(self) -> bool:
    return self.memory <= self.hardware.memory


def estimate(
  text: str,
  memory: float,
  call: Call,
  hardware: Hardware,
  mesh: Mapping[str, int],
) -> Estimate:
  """Returns the estimates for a compiled program.

  Args:
    text: its HLO on one device.
    memory: bytes that it needs on a device.
    call: the call that is estimated.
    hardware: the hardware that it is compiled for.
    mesh: sizes of the mesh axes, in order.
  """
  program = hlo.parse(text)
  found: dict[str, Phase] = collections.defaultdict(Phase)
  kernels: dict[tuple[str, str, str], Kernel] = {}
  for execution in executions.executions(program, PHASES):
    if not sending.is_collective(execution.instruction):
      seconds = kernel_seconds(execution, hardware, call.dtype)
      found[execution.phase] += Phase(seconds, 0, execution.traffic)
      if not execution.branch:
        key = (
          execution.phase,
          _origin(execution.instruction),
          _largest(execution.instruction),
        )
        k = kernels.get(key, Kernel(*key, 0, 0, 0))
        kernels[key] = Kernel(
          *key,
          times=k.times + execution.times,
          seconds=k.seconds + seconds,
          traffic=k.traffic + execution.traffic,
        )
  sent: dict[tuple[str, tuple[str, ...]], tuple[float, int]] = {}
  for c in sending.collectives(program, PHASES, mesh):
    found[c.phase] += Phase(sending=c.times * c.sent / hardware.link)
    before, n = sent.get((c.kind, c.axes), (0.0, 0))
    sent[c.kind, c.axes] = before + c.times * c.sent, n + 1
  # `executions` counts the branch as taken at every conditional.
  resampling = found.pop('resample', Phase())
  resampling /= call.resampling_branches
  return Estimate(
    *(call, hardware, memory, dict(found), resampling, sent),
    kernels=tuple(sorted(kernels.values(), key=lambda k: -k.seconds)),
  )


def _origin(i: hlo.Instruction) -> str:
  """Returns the last name of a scope; for a product, with its einsum."""
  *_, before, last = ('', '', *i.scope.split('/'))
  return f'{before}/{last}' if last == 'dot_general' else last or i.opcode


def _largest(i: hlo.Instruction) -> str:
  largest = max(i.arrays, key=lambda a: a.bytes, default=None)
  if largest is None:
    return ''
  return f'{largest.dtype}[{",".join(map(str, largest.shape))}]'


def kernel_seconds(
  execution: executions.Execution, hardware: Hardware, dtype: str
) -> float:
  """Returns the seconds of all executions of an instruction."""
  if hardware.clock:
    return execution.cycles / hardware.clock
  return execution.times * max(
    execution.flops / hardware.peak(dtype), execution.bytes / hardware.bandwidth
  )


def lines(e: Estimate) -> list[str]:
  """Returns the printed report of a program's estimates."""
  call, hardware, whole = e.call, e.hardware, e.whole
  at_peak = {
    'its products': call.flops / hardware.peak(call.dtype),
    'its memory traffic': whole.traffic / hardware.bandwidth,
  }
  fits = (
    'fits'
    if e.fits
    else f'TOO MUCH by {bytes_text(e.memory - hardware.memory)}'
  )
  shares = ', '.join(
    f'{name or "the rest"} {phase.total / whole.total:.0%}'
    for name, phase in sorted(e.phases.items(), key=lambda x: -x[1].total)
    if phase.total >= 0.005 * whole.total
  )
  found = [
    f"  {hardware.name}, compiler's estimates: {bytes_text(e.memory)} of "
    f'{bytes_text(hardware.memory)}: {fits}',
    f'    {call.name}: {time_text(whole.total)} ({shares}); at peak '
    + ', '.join(f'{name} {time_text(s)}' for name, s in at_peak.items()),
    f'    {e.rate:,.0f} {call.unit}/s, MFU {e.mfu:.0%}; all calls '
    f'{time_text(e.seconds)}',
  ]
  if e.resampling.total:
    found.append(f'    a resampling: {time_text(e.resampling.total)}')
  shown = e.kernels[:_SHOWN]
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
      e.sent.items(), key=lambda x: -x[1][0]
    )
  ]


def time_text(seconds: float) -> str:
  """Formats seconds: 1.5 h."""
  units = ('d', 86_400), ('h', 3_600), ('min', 60), ('s', 1)
  for unit, size in units:
    if seconds >= (2 * size if size > 1 else 1):
      return f'{seconds / size:.3g} {unit}'
  return f'{1e3 * seconds:.3g} ms'
