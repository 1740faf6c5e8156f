"""The text of a compiled program (HLO), read: computations, instructions."""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping

_BITS = {'pred': 8, 's4': 4, 'u4': 4, 'bf16': 16}
# An array: dtype, dimensions, and the layout, which names the memory that it
# lies in (none: the main one).
_ARRAY = re.compile(r'([a-z]+\d*(?:e\dm\d\w*)?)\[([\d,<=]*)\](\{[^{}]*\})?')
_HEADER = re.compile(r'^(ENTRY )?%?([\w.-]+) \(.*\) -> .* \{$')
_NAMED = re.compile(r'^\s+(ROOT )?%?([\w.-]+) = ')
_NAME = re.compile(r'%([\w.-]+)')


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
    text: what follows the operands.
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

  def called(self, key: str) -> str:
    """The computation that it names under a key, such as `body`; '' of none."""
    found = re.search(rf'\b{key}=%?([\w.-]+)', self.text)
    return found[1] if found else ''

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


def parse(text: str) -> Program:
  """Reads the HLO of a compiled program, `compiled.as_text()`."""
  head, _, _ = text.partition('\n')
  aliases = re.search(r'input_output_alias=\{(.*?)\}, entry', head)
  computations: dict[str, Computation] = {}
  body: dict[str, Instruction] | None = None
  entry, name, root = '', '', ''
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
