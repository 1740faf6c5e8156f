"""What a compiled program does: each instruction, how often, and what it costs.

Estimates: cycles are the TPU compiler's own (`estimated_cycles`), bytes are
those of the arrays that an instruction reads and writes in the main memory of
the device, FLOPs those of its matrix products.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

from monosem_jax.device.cost.hlo import Computation, Instruction, Program

# Those that move and compute nothing.
_FREE = re.compile(
  'parameter|constant|tuple|get-tuple-element|bitcast|after-all|partition-id|'
  'replica-id|opt-barrier|add-dependency|.*-(done|update)'
)


@dataclasses.dataclass(frozen=True)
class Run:
  """An instruction where it runs.

  Attributes:
    instruction: which.
    times: how often in a call of the program.
    phase: the named scope that it belongs to; '' for none.
    branch: whether it stands in a branch, which is taken or not.
    bytes: read and written in main memory, each time.
    flops: of matrix products, each time; those in the text, so not on a TPU.
  """

  instruction: Instruction
  times: float
  phase: str
  branch: bool
  bytes: float
  flops: float

  @property
  def cycles(self) -> float:
    """Estimated cycles of all its executions together."""
    return self.times * self.instruction.cycles

  @property
  def traffic(self) -> float:
    """Bytes of all times."""
    return self.times * self.bytes


def runs(program: Program, phases: Sequence[str]) -> Iterator[Run]:
  """All instructions that cost something, with how often they run.

  A branch of a conditional counts as taken each time; who sums tells its phases
  apart.

  Args:
    program: of which.
    phases: named scopes; of those in an instruction's scope the innermost is
      its phase, otherwise that of the loop or branch that it stands in.
  """

  def walk(name: str, times: float, phase: str, branch: bool) -> Iterator[Run]:
    own = program.computations[name]
    for i in own.instructions.values():
      if _FREE.fullmatch(i.opcode):
        continue
      inner = _phase(i.scope, phases) or phase
      if i.opcode == 'while':
        count = times * trips(program, i)
        yield from walk(i.called('body'), count, inner, branch)
      elif i.opcode == 'conditional':
        for taken in i.branches:
          yield from walk(taken, times, inner, True)
      elif i.opcode == 'call':
        yield from walk(i.called('to_apply'), times, inner, branch)
      else:
        yield Run(
          *(i, times, inner, branch),
          moved(program, own, i),
          products(program, own, i),
        )

  yield from walk(program.entry, 1.0, '', False)


def _phase(scope: str, phases: Sequence[str]) -> str:
  parts = scope.split('/')
  return next((p for p in reversed(parts) if p in phases), '')


def trips(program: Program, loop: Instruction) -> int:
  """How often a loop runs; 1 where its text does not say."""
  told = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.text)
  if told:
    return int(told[1])
  condition = program.computations[loop.called('condition')]
  root = condition.instructions[condition.root]
  for name in root.operands:
    bound = condition.instructions[name]
    if bound.opcode == 'constant' and bound.argument.isdigit():
      return int(bound.argument)
  return 1


def moved(program: Program, own: Computation, i: Instruction) -> float:
  """Bytes that an instruction reads and writes in main memory.

  Of an array that a fusion only takes a slice of, or puts a slice into, the
  slice alone counts.
  """
  written = sum(a.bytes for a in i.arrays if a.main)
  inside = program.computations.get(i.called('calls'))
  if inside is None:
    if i.opcode in ('dynamic-slice', 'gather'):
      return 2 * written
    read = sum(
      a.bytes
      for name in i.operands
      if name in own.instructions
      for a in own.instructions[name].arrays
      if a.main
    )
    if i.opcode == 'dynamic-update-slice':
      return 2 * _update(own, i)
    return read + written
  read = 0.0
  for n, name in enumerate(i.operands):
    arrays = own.instructions[name].arrays if name in own.instructions else ()
    whole = sum(a.bytes for a in arrays if a.main)
    parameter = inside.parameters.get(n)
    if whole and parameter:
      whole = min(whole, _read(inside, parameter))
    read += whole
  root = inside.instructions[inside.root]
  if root.opcode == 'dynamic-update-slice':
    written = min(written, _update(inside, root))
  return read + written


def products(program: Program, own: Computation, i: Instruction) -> float:
  """FLOPs of the matrix products of an instruction, 2 per multiply-add."""
  inside = program.computations.get(i.called('calls'))
  if inside is not None:
    return sum(
      products(program, inside, j) for j in inside.instructions.values()
    )
  found = re.search(
    r'lhs_contracting_dim(?:s=\{|ensions":\[)([\d",]*)[}\]]', i.text
  )
  if not found or not i.operands or i.operands[0] not in own.instructions:
    return 0.0
  summed = [int(n) for n in re.findall(r'\d+', found[1])]
  left = own.instructions[i.operands[0]].arrays[0].shape
  return 2.0 * math.prod(i.arrays[0].shape) * math.prod(left[n] for n in summed)


def _read(inside: Computation, parameter: str) -> float:
  """Bytes that a fusion reads of a parameter."""
  read = 0.0
  for user in inside.users(parameter):
    if user.opcode in ('dynamic-slice', 'slice', 'gather'):
      read += sum(a.bytes for a in user.arrays)
    elif user.opcode in ('bitcast', 'reshape'):
      read += _read(inside, user.name)
    elif user.opcode == 'dynamic-update-slice' and (
      user.operands[0] == parameter
    ):
      continue
    else:
      return math.inf
  return read


def _update(own: Computation, i: Instruction) -> float:
  """Bytes of what a dynamic-update-slice puts in."""
  update = own.instructions.get(i.operands[1])
  return sum(a.bytes for a in update.arrays) if update else 0.0
