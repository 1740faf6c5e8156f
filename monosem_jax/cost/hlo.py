"""What a compiler made of a program: its loops, fusions, copies, collectives.

Read from the text of a compiled program's HLO. What is said of an instruction
is an estimate: cycles are the TPU compiler's own (`estimated_cycles`), bytes
are those of the arrays that it reads and writes in the device's main memory.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

_BITS = {'pred': 8, 's4': 4, 'u4': 4, 'bf16': 16}
# An array: dtype, dimensions, and the layout, which names the memory that it
# lies in (none: the main one).
_ARRAY = re.compile(r'([a-z]+\d*(?:e\dm\d\w*)?)\[([\d,<=]*)\](\{[^{}]*\})?')
_HEADER = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\) -> .* \{$')
_NAMED = re.compile(r'^\s+(ROOT )?%?([\w.-]+) = ')
_NAME = re.compile(r'%([\w.-]+)')
# Those that move and compute nothing.
_FREE = re.compile(
  'parameter|constant|tuple|get-tuple-element|bitcast|after-all|partition-id|'
  'replica-id|opt-barrier|add-dependency|.*-(done|update)'
)
_COLLECTIVES = (
  *('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all'),
  *('collective-permute', 'ragged-all-to-all'),
)


@dataclasses.dataclass(frozen=True)
class Array:
  """An array that an instruction makes.

  Attributes:
    dtype: such as `f32`.
    shape: its dimensions.
    main: whether it lies in the device's main memory.
  """

  dtype: str
  shape: tuple[int, ...]
  main: bool

  @property
  def bytes(self) -> float:
    digits = re.sub(r'^[a-z]+(\d+).*', r'\1', self.dtype)
    bits = _BITS.get(self.dtype) or (int(digits) if digits.isdigit() else 0)
    return math.prod(self.shape) * bits / 8


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of HLO.

  Attributes:
    name: unique in its computation.
    opcode: such as `fusion`.
    arrays: what it makes, several of a tuple.
    operands: the names of what it takes.
    argument: of a constant its value, of a parameter its number.
    text: what stands behind the operands.
  """

  name: str
  opcode: str
  arrays: tuple[Array, ...]
  operands: tuple[str, ...]
  argument: str
  text: str

  @property
  def scope(self) -> str:
    """Where in the Python program it comes from: names, joined by /."""
    found = re.search(r'op_name="([^"]*)"', self.text)
    return found[1] if found else ''

  @property
  def cycles(self) -> float:
    """The TPU compiler's estimate; 0 where it makes none."""
    found = re.search(r'"estimated_cycles":"(\d+)"', self.text)
    return float(found[1]) if found else 0.0

  @property
  def kind(self) -> str:
    """The opcode, without the halves that an asynchronous one has."""
    return re.sub(r'-(start|done|update)$', '', self.opcode)

  def called(self, key: str) -> str | None:
    """The computation that it names under a key, such as `body`."""
    found = re.search(rf'\b{key}=%?([\w.-]+)', self.text)
    return found[1] if found else None

  @property
  def branches(self) -> list[str]:
    """The computations of a conditional."""
    found = re.search(r'branch_computations=\{([^}]*)\}', self.text)
    if found:
      return _NAME.findall(found[1])
    either = self.called('true_computation'), self.called('false_computation')
    return [name for name in either if name]


@dataclasses.dataclass(frozen=True)
class Computation:
  """Instructions by name, in the order in which they run; the root's name."""

  instructions: Mapping[str, Instruction]
  root: str

  @functools.cached_property
  def parameters(self) -> dict[int, str]:
    return {
      int(i.argument): i.name
      for i in self.instructions.values()
      if i.opcode == 'parameter'
    }

  def users(self, name: str) -> list[Instruction]:
    return [i for i in self.instructions.values() if name in i.operands]


@dataclasses.dataclass(frozen=True)
class Program:
  """A whole program.

  Attributes:
    computations: by name.
    entry: the name of the first.
    aliased: how many of the outputs lie where an input did.
  """

  computations: Mapping[str, Computation]
  entry: str
  aliased: int


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
    """Of all times."""
    return self.times * self.instruction.cycles

  @property
  def traffic(self) -> float:
    """Bytes of all times."""
    return self.times * self.bytes


def parse(text: str) -> Program:
  """Reads the HLO of a compiled program, `compiled.as_text()`."""
  head, _, _ = text.partition('\n')
  aliases = re.search(r'input_output_alias=\{(.*?)\}, entry', head)
  computations, entry, body, name, root = {}, '', None, '', ''
  for line in text.splitlines():
    if body is None:
      found = _HEADER.match(line)
      if found:
        body, name, root = {}, found[2], ''
        entry = name if found[1] else entry
    elif line.startswith('}'):
      computations[name] = Computation(body, root)
      body = None
    elif found := _NAMED.match(line):
      i = _instruction(found[2], line[found.end() :])
      body[i.name] = i
      root = i.name if found[1] else root
  return Program(
    computations, entry, aliases[1].count('alias)') if aliases else 0
  )


def _instruction(name: str, rest: str) -> Instruction:
  rest = re.sub(r'/\*.*?\*/', '', rest)
  made, rest = _split_type(rest)
  opcode, _, rest = rest.partition('(')
  end = _closing(rest)
  operands, text = rest[:end], rest[end + 1 :]
  return Instruction(
    name=name,
    opcode=opcode,
    arrays=tuple(_arrays(made)),
    operands=tuple(_NAME.findall(operands)),
    argument=operands,
    text=text,
  )


def _split_type(rest: str) -> tuple[str, str]:
  """What an instruction makes, and what follows."""
  if not rest.startswith('('):
    made, _, rest = rest.partition(' ')
    return made, rest
  end = _closing(rest[1:]) + 1
  return rest[: end + 1], rest[end + 2 :]


def _closing(text: str) -> int:
  """Where the parenthesis is closed that was opened before the text."""
  depth = 1
  for at, c in enumerate(text):
    depth += (c == '(') - (c == ')')
    if not depth:
      return at
  return len(text)


def _arrays(made: str) -> Iterator[Array]:
  for dtype, shape, layout in _ARRAY.findall(made):
    dims = [re.sub(r'\D', '', n) for n in shape.split(',')]
    space = re.search(r'S\((\d+)\)', layout)
    yield Array(
      dtype,
      tuple(int(n) for n in dims if n),
      main=space is None or space[1] == '0',
    )


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
  inside = program.computations.get(i.called('calls') or '')
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
  inside = program.computations.get(i.called('calls') or '')
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


@dataclasses.dataclass(frozen=True)
class Collective:
  """What devices send one another.

  Attributes:
    kind: such as `all-reduce`.
    axes: the axes of the mesh that it goes along.
    devices: of a group.
    bytes: of its operands, on a device.
    times: in a call of the program.
    phase: see `Run`.
  """

  kind: str
  axes: tuple[str, ...]
  devices: int
  bytes: float
  times: float
  phase: str

  @property
  def sent(self) -> float:
    """Bytes that a device sends each time, in a ring."""
    others = (self.devices - 1) / self.devices
    if self.kind == 'all-reduce':
      return 2 * others * self.bytes
    if self.kind == 'all-gather':
      return (self.devices - 1) * self.bytes
    if self.kind == 'collective-permute':
      return self.bytes
    return others * self.bytes


def is_collective(i: Instruction) -> bool:
  return i.kind in _COLLECTIVES


def collectives(
  program: Program, phases: Sequence[str], mesh: Mapping[str, int]
) -> list[Collective]:
  """All collectives.

  Args:
    program: of which.
    phases: see `runs`.
    mesh: its axes and their sizes, in order.
  """
  home = {
    id(i): c
    for c in program.computations.values()
    for i in c.instructions.values()
  }
  found = []
  for run in runs(program, phases):
    i = run.instruction
    if not is_collective(i):
      continue
    own = home[id(i)].instructions
    taken = [own[name] for name in i.operands if name in own]
    groups = _groups(i.text, math.prod(mesh.values()))
    found.append(
      Collective(
        kind=i.kind,
        axes=_axes(groups, mesh),
        devices=max(map(len, groups)),
        bytes=sum(a.bytes for t in taken for a in t.arrays),
        times=run.times,
        phase=run.phase,
      )
    )
  return found


def _axes(
  groups: Sequence[Sequence[int]], mesh: Mapping[str, int]
) -> tuple[str, ...]:
  """The axes along which devices of a group differ."""
  sizes = tuple(mesh.values())
  varies = np.zeros(len(sizes), bool)
  for group in groups:
    at = np.stack(np.unravel_index(np.asarray(group), sizes))
    varies |= (at != at[:, :1]).any(1)
  return tuple(axis for axis, v in zip(mesh, varies, strict=True) if v)


_INTS = re.compile(r'\d+')
_IOTA = r'\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?'
_MESH = (
  r'mesh\[([^\]]*)\](?:, device_ids=\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))? '
  r'\{([^}]*)\}'
)


def _groups(text: str, devices: int) -> list[list[int]]:
  """Which devices send one another, in all forms that HLO writes."""
  ints = lambda part: [int(n) for n in _INTS.findall(part)]

  def iota(dims: str | None, order: str | None) -> np.ndarray:
    ids = np.arange(devices)
    if dims is not None:
      ids = ids.reshape(ints(dims))
      ids = ids.transpose(ints(order)) if order else ids
    return ids.ravel()

  if pairs := re.search(r'source_target_pairs=\{(.*?)\}\}', text):
    return [ints(p) for p in pairs[1].split('}')]
  if found := re.search(rf'replica_groups={_MESH}', text):
    axes, dims, order, grouped = found.groups()
    sizes = [int(n) for n in re.findall(r'=(\d+)', axes)]
    names = re.findall(r"'(\w+)'", axes)
    chosen = [names.index(n) for n in re.findall(r"'(\w+)'", grouped)]
    others = [k for k in range(len(sizes)) if k not in chosen]
    ids = iota(dims, order).reshape(sizes).transpose(others + chosen)
    return ids.reshape(-1, math.prod(sizes[k] for k in chosen)).tolist()
  if found := re.search(rf'replica_groups={_IOTA}', text):
    shape, dims, order = found.groups()
    return iota(dims, order).reshape(ints(shape)).tolist()
  if found := re.search(r'replica_groups=\{(\{.*?\})\}', text):
    return [own for own in map(ints, found[1].split('}')) if own]
  return [list(range(devices))]
