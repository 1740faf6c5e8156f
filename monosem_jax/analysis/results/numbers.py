"""Numbers of an analysis: dataclasses in memory, numbers.json on disk.

`to_json` and `from_json` convert any dataclass whose fields are numbers,
strings, lists, tuples, dictionaries with string keys, unions of these, or other
dataclasses. A field is stored under its own name, unless `Key` gives another
name or `Inline` merges the keys of a nested dataclass into its owner's. Nothing
here imports jax.
"""

import dataclasses
import functools
import math
import pathlib
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, Self, TypeVar

import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.run.files import read_json, write_json

FILE = 'numbers.json'
# The ends of a 95% interval; None if there is no interval.
Interval = tuple[float, float] | None


T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Key:
  """The key of a field in the file, if it cannot be the field's name."""

  name: str


class _Inline:
  pass


# A nested dataclass whose keys are merged into its owner's. In a union the
# first member whose keys are all present is read, or None if there is no such
# member.
Inline = Annotated[T, _Inline()]

# Numbers of each set of features, by its name: A/1, A/neurons.
BySet = Annotated[dict[str, T], Key('runs')]


class Numbers:
  """Saves a dataclass of numbers in the folder of its analysis, and loads it.

  An analysis that a run cannot have saves a reason instead, see `NotMade`.
  """

  def save(self, folder: pathlib.Path) -> None:
    write_json(folder / FILE, to_json(self))

  @classmethod
  def load(cls, folder: pathlib.Path) -> 'Self | NotMade':
    """Reads a file and ignores keys that are not fields of the class.

    Raises:
      UserError: the file is missing, is not JSON, or has the wrong form.
    """
    path = folder / FILE
    return from_json(cls | NotMade, read_json(path), path)

  @classmethod
  def load_if_made(cls, folder: pathlib.Path) -> Self | None:
    """Like `load`, but returns None without a file or without numbers in it."""
    if not (folder / FILE).exists():
      return None
    found = cls.load(folder)
    return None if isinstance(found, NotMade) else found


@dataclasses.dataclass(frozen=True)
class NotMade(Numbers):
  """Stands in for the numbers of an analysis that the run cannot have.

  Attributes:
    why: what the run lacks.
  """

  why: Annotated[str, Key('not_here')]


def why_not_made(folder: pathlib.Path) -> str:
  """Why an analysis was not made; '' if it was. Works for any analysis."""
  found = read_json(folder / FILE)
  keys = (field.key for field in _fields(NotMade))
  return next((found[key] for key in keys if key in found), '')


@dataclasses.dataclass(frozen=True)
class Reason:
  """Stands in for numbers that are missing.

  Attributes:
    reason: why they are missing.
  """

  reason: str


def to_json(value: Any) -> Any:
  """Converts to JSON: arrays become lists, NaN and infinity become null."""
  if dataclasses.is_dataclass(value):
    found: dict[str, Any] = {}
    for field in _fields(typing.cast(type, type(value))):
      own = to_json(getattr(value, field.name))
      if field.is_inline:
        found |= own or {}
      else:
        found[field.key] = own
    return found
  if isinstance(value, Mapping):
    return {str(k): to_json(x) for k, x in value.items()}
  if isinstance(value, np.ndarray | list | tuple):
    return [to_json(x) for x in value]
  if isinstance(value, np.bool_ | bool):
    return bool(value)
  if isinstance(value, np.integer):
    return int(value)
  if isinstance(value, np.floating | float):
    return float(value) if math.isfinite(value) else None
  return value


def from_json(kind: Any, value: Any, path: pathlib.Path) -> Any:
  """Converts from JSON to a type.

  Args:
    kind: a dataclass, or any type that a field may have.
    value: the parsed JSON.
    path: the file, for error messages.

  Raises:
    UserError: the value does not match the type.
  """
  try:
    return _read(kind, value, '')
  except _NotOfForm as e:
    raise UserError(
      f'{path}: {e}; delete its folder and run its stage again.'
    ) from None


class _NotOfForm(Exception):
  pass


class _Field(NamedTuple):
  """A field of a dataclass, its key in the file, and its type."""

  name: str
  key: str
  is_inline: bool
  kind: Any


@functools.cache
def _fields(kind: type) -> list[_Field]:
  found = []
  for name, hint in typing.get_type_hints(kind, include_extras=True).items():
    marks = getattr(hint, '__metadata__', ())
    own = typing.get_args(hint)[0] if marks else hint
    keys = [mark.name for mark in marks if isinstance(mark, Key)]
    is_inline = any(isinstance(mark, _Inline) for mark in marks)
    found.append(_Field(name, keys[0] if keys else name, is_inline, own))
  return found


def _members(kind: Any) -> tuple:
  is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
  return typing.get_args(kind) if is_union else (kind,)


@functools.cache
def _keys(kind: type) -> frozenset[str]:
  """The keys that a dataclass requires."""
  keys: set[str] = set()
  for field in _fields(kind):
    if not field.is_inline:
      keys.add(field.key)
    elif len(_members(field.kind)) == 1:
      keys |= _keys(field.kind)
  return frozenset(keys)


# Python types of JSON values; JSON may hold an integer for a float.
_SCALARS = {
  float: (float, int),
  int: (int,),
  str: (str,),
  bool: (bool,),
  types.NoneType: (types.NoneType,),
}


def _fits(kind: Any, value: Any) -> bool:
  """Whether a value matches the outermost level of a type."""
  if kind is Any:
    return True
  if dataclasses.is_dataclass(kind):
    return (
      isinstance(value, dict) and _keys(typing.cast(type, kind)) <= value.keys()
    )
  if kind in _SCALARS:
    is_bool = isinstance(value, bool)
    return isinstance(value, _SCALARS[kind]) and is_bool == (kind is bool)
  return isinstance(value, dict if typing.get_origin(kind) is dict else list)


def _read(kind: Any, value: Any, at: str) -> Any:
  members = _members(kind)
  own = next((m for m in members if _fits(m, value)), None)
  if own is None:
    raise _NotOfForm(_complaint(members, value, at))
  if dataclasses.is_dataclass(own):
    kind = typing.cast(type, own)
    return kind(**{f.name: _field(f, value, at) for f in _fields(kind)})
  origin, args = typing.get_origin(own), typing.get_args(own)
  if origin is dict:
    return {k: _read(args[1], x, f'{at}.{k}') for k, x in value.items()}
  if origin is list:
    return [_read(args[0], x, f'{at}[{i}]') for i, x in enumerate(value)]
  if origin is tuple:
    if len(value) != len(args):
      raise _NotOfForm(f'{at[1:]} has {len(value)} values, not {len(args)}')
    return tuple(
      _read(a, x, f'{at}[{i}]')
      for i, (a, x) in enumerate(zip(args, value, strict=True))
    )
  return value


def _field(field: _Field, value: dict[str, Any], at: str) -> Any:
  if not field.is_inline:
    return _read(field.kind, value[field.key], f'{at}.{field.key}')
  members = _members(field.kind)
  if types.NoneType in members and not any(_fits(m, value) for m in members):
    return None
  return _read(field.kind, value, at)


def _complaint(members: tuple, value: Any, at: str) -> str:
  first = members[0]
  if dataclasses.is_dataclass(first) and isinstance(value, dict):
    lacking = min(_keys(typing.cast(type, first)) - value.keys())
    return f'{f"{at}.{lacking}"[1:]} is missing'
  names = [getattr(m, '__name__', str(m)) for m in members]
  subject = at[1:] or 'the file'
  return f'{subject} is {type(value).__name__}, not {" or ".join(names)}'
