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
from collections.abc import Mapping, Sequence

from monosem_jax.cost import bytes_text, collectives as sending, hlo, runs
from monosem_jax.cost.hardware import Hardware

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

  @property
  def total(self) -> float:
    return self.seconds + self.sending


def phases(
  program: hlo.Program,
  hardware: Hardware,
  names: Sequence[str],
  mesh: Mapping[str, int],
  dtype: str,
) -> dict[str, Phase]:
  """What each phase takes.

  Args:
    program: a device's.
    hardware: what it is compiled for.
    names: named scopes; what is in none of them is ''.
    mesh: its axes and their sizes, in order.
    dtype: of matrix products.
  """
  found: dict[str, Phase] = collections.defaultdict(Phase)
  for run in runs.runs(program, names):
    if not sending.is_collective(run.instruction):
      found[run.phase] += Phase(seconds(run, hardware, dtype), 0, run.traffic)
  for c in sending.collectives(program, names, mesh):
    found[c.phase] += Phase(sending=c.times * c.sent / hardware.link)
  return dict(found)


def seconds(run: runs.Run, hardware: Hardware, dtype: str) -> float:
  """Of an instruction, all its times together."""
  if hardware.clock:
    return run.cycles / hardware.clock
  return run.times * max(
    run.flops / hardware.peak(dtype), run.bytes / hardware.bandwidth
  )


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


def lines(
  text: str,
  memory: float,
  call: Call,
  hardware: Hardware,
  mesh: Mapping[str, int],
) -> list[str]:
  """What is printed of a program.

  Args:
    text: its HLO.
    memory: bytes that it takes on a device.
    call: what it does.
    hardware: what it is compiled for.
    mesh: its axes and their sizes, in order.
  """
  program = hlo.parse(text)
  by = phases(program, hardware, PHASES, mesh, call.dtype)
  resampling = by.pop('resample', Phase())
  whole = sum(by.values(), Phase())
  at_peak = {
    'its products': call.flops / hardware.peak(call.dtype),
    'its memory traffic': whole.traffic / hardware.bandwidth,
  }
  fits = (
    'fits'
    if memory <= hardware.memory
    else f'TOO MUCH by {bytes_text(memory - hardware.memory)}'
  )
  shares = ', '.join(
    f'{name or "the rest"} {phase.total / whole.total:.0%}'
    for name, phase in sorted(by.items(), key=lambda x: -x[1].total)
    if phase.total >= 0.005 * whole.total
  )
  peak = hardware.peak(call.dtype)
  found = [
    f"  {hardware.name}, compiler's estimates: {bytes_text(memory)} of "
    f'{bytes_text(hardware.memory)}: {fits}',
    f'    {call.name}: {_time(whole.total)} ({shares}); at peak '
    + ', '.join(f'{name} {_time(s)}' for name, s in at_peak.items()),
    f'    {call.units / whole.total:,.0f} {call.unit}/s, MFU '
    f'{call.flops / whole.total / peak:.0%}; all of them '
    f'{_time(call.calls * whole.total)}',
  ]
  if resampling.total:
    # Its branch counts as taken each time.
    found.append(f'    a resampling: {_time(resampling.total / call.asked)}')
  sent = collections.Counter()
  number = collections.Counter()
  for c in sending.collectives(program, PHASES, mesh):
    key = c.kind, c.axes
    sent[key] += c.times * c.sent / call.steps
    number[key] += 1
  found += [
    f'    {number[key]} x {key[0]} along {" and ".join(key[1]) or "no axis"}: '
    f'{bytes_text(n)} sent a step'
    for key, n in sent.most_common()
  ]
  return found


def _time(seconds: float) -> str:
  for unit, size in (('d', 86_400), ('h', 3_600), ('min', 60), ('s', 1)):
    if seconds >= 2 * size:
      return f'{seconds / size:.3g} {unit}'
  return f'{1e3 * seconds:.3g} ms'
