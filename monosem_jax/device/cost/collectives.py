"""The collectives of a compiled program: bytes sent, and along which axes."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from monosem_jax.device.cost.executions import executions
from monosem_jax.device.cost.hlo import Instruction, Program

_COLLECTIVES = (
  *('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all'),
  *('collective-permute', 'ragged-all-to-all'),
)


@dataclasses.dataclass(frozen=True)
class Collective:
  """A collective instruction.

  Attributes:
    kind: opcode, such as `all-reduce`.
    axes: mesh axes along which it communicates.
    devices: devices per group.
    bytes: bytes of its operands on a device.
    times: executions per call of the program.
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
    """Bytes that a device sends per execution, in a ring."""
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
  """Returns all collectives of a program.

  Args:
    program: the compiled program.
    phases: see `executions`.
    mesh: sizes of the mesh axes, in order.
  """
  home = {
    id(i): c
    for c in program.computations.values()
    for i in c.instructions.values()
  }
  found = []
  for execution in executions(program, phases):
    i = execution.instruction
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
        times=execution.times,
        phase=execution.phase,
      )
    )
  return found


def _axes(
  groups: Sequence[Sequence[int]], mesh: Mapping[str, int]
) -> tuple[str, ...]:
  """Returns the axes along which the devices of a group differ."""
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
  """Parses the groups of communicating devices, in every form HLO writes."""
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
