"""The instructions of a compiled program, with their counts and costs.

Costs are estimates. Cycles are the TPU compiler's (`estimated_cycles`); bytes
are those of arrays read and written in the device's main memory; FLOPs are
those of matrix products.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

from monosem_jax.device.cost.hlo import Computation, Instruction, Program

# Opcodes that move and compute nothing.
_FREE = re.compile(
  'parameter|constant|tuple|get-tuple-element|bitcast|after-all|partition-id|'
  'replica-id|opt-barrier|add-dependency|.*-(done|update)'
)


@dataclasses.dataclass(frozen=True)
class Execution:
  """An instruction in its place in the program.

  Attributes:
    instruction: the instruction.
    times: executions per call of the program.
    phase: the named scope that it belongs to; '' if it has no phase.
    branch: whether it lies in a branch of a conditional.
    bytes: bytes read and written in main memory per execution.
    flops: FLOPs of matrix products per execution, from the text; the text of a
      TPU program does not show them.
  """

  instruction: Instruction
  times: float
  phase: str
  branch: bool
  bytes: float
  flops: float

  @property
  def cycles(self) -> float:
    """Estimated cycles of all executions."""
    return self.times * self.instruction.cycles

  @property
  def traffic(self) -> float:
    """Bytes of all executions."""
    return self.times * self.bytes


def executions(program: Program, phases: Sequence[str]) -> Iterator[Execution]:
  """Yields the instructions that cost something, with their counts.

  Every branch of a conditional counts as taken each time; callers separate
  branches by their phases.

  Args:
    program: the compiled program.
    phases: named scopes. An instruction's phase is the innermost one in its
      scope, or else that of the enclosing loop or branch.
  """

  def walk(
    name: str, times: float, phase: str, branch: bool
  ) -> Iterator[Execution]:
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
        yield Execution(
          *(i, times, inner, branch),
          moved(program, own, i),
          products(program, own, i),
        )

  yield from walk(program.entry, 1.0, '', False)


def _phase(scope: str, phases: Sequence[str]) -> str:
  parts = scope.split('/')
  return next((p for p in reversed(parts) if p in phases), '')


def trips(program: Program, loop: Instruction) -> int:
  """Returns the trip count of a loop; 1 if its text does not give it."""
  known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.text)
  if known:
    return int(known[1])
  condition = program.computations[loop.called('condition')]
  root = condition.instructions[condition.root]
  for name in root.operands:
    bound = condition.instructions[name]
    if bound.opcode == 'constant' and bound.argument.isdigit():
      return int(bound.argument)
  return 1


def moved(program: Program, own: Computation, i: Instruction) -> float:
  """Returns the bytes an instruction reads and writes in main memory.

  If a fusion only reads or updates a slice of an array, only the slice counts.
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
  """Returns the FLOPs of an instruction's products, 2 per multiply-add."""
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
  """Returns the bytes of a parameter that a fusion reads."""
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
  """Returns the bytes that a dynamic-update-slice writes."""
  update = own.instructions.get(i.operands[1])
  return sum(a.bytes for a in update.arrays) if update else 0.0
