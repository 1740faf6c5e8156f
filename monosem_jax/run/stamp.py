"""Stamps: the settings and inputs of a result, in its folder's stamp.json."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from monosem_jax.run.files import read_json, write_json

NAME = 'stamp.json'


def identity(part: Any, prefix: str) -> dict[str, Any]:
  """Returns the settings that change a result, by dotted key."""
  found: dict[str, Any] = {}
  for field in dataclasses.fields(part):
    if field.metadata.get('free'):
      continue
    value = getattr(part, field.name)
    key = f'{prefix}.{field.name}'
    if dataclasses.is_dataclass(value):
      found |= identity(value, key)
    elif isinstance(value, Mapping):
      found |= {f'{key}.{k}': v for k, v in sorted(value.items())}
    else:
      found[key] = list(value) if isinstance(value, tuple) else value
  return found


@dataclasses.dataclass(frozen=True)
class Stamp:
  """The identity of a result.

  Attributes:
    settings: values of the config keys that change it.
    inputs: hashes of the results it is made from, by name.
  """

  settings: dict[str, Any]
  inputs: dict[str, str]

  @classmethod
  def read(cls, directory: pathlib.Path) -> 'Stamp | None':
    """Returns the stamp of a folder, or None."""
    path = directory / NAME
    return cls(**read_json(path)) if path.exists() else None

  def write(self, directory: pathlib.Path) -> None:
    write_json(directory / NAME, dataclasses.asdict(self))

  def differences(self, now: 'Stamp') -> list[str]:
    """Returns a line for each setting and input that differs from `now`."""
    keys = sorted(self.settings | now.settings)
    names = sorted(self.inputs | now.inputs)
    return [
      f'{key}: {_value(self, key)} before, {_value(now, key)} now'
      for key in keys
      if self.settings.get(key) != now.settings.get(key)
    ] + [
      f'its input {name} has changed'
      for name in names
      if self.inputs.get(name) != now.inputs.get(name)
    ]


def _value(stamp: Stamp, key: str) -> str:
  """Returns the value of a setting; another version may lack the setting."""
  return repr(stamp.settings[key]) if key in stamp.settings else 'no such key'
