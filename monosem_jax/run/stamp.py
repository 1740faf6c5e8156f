"""What a result was made from, kept beside it in its folder's stamp.json."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from monosem_jax.run.files import read_json, write_json

NAME = 'stamp.json'


def identity(part: Any, prefix: str) -> dict[str, Any]:
  """The fields of a settings dataclass that change a result, keys dotted."""
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
    settings: the config keys that change it, and their values.
    inputs: hashes of the earlier results it is made from, by name.
  """

  settings: dict[str, Any]
  inputs: dict[str, str]

  @classmethod
  def read(cls, directory: pathlib.Path) -> 'Stamp | None':
    """The stamp of a folder; None if it has none."""
    path = directory / NAME
    return cls(**read_json(path)) if path.exists() else None

  def write(self, directory: pathlib.Path) -> None:
    write_json(directory / NAME, dataclasses.asdict(self))

  def differences(self, now: 'Stamp') -> list[str]:
    """The keys and inputs in which the stamp of today differs, a line each."""
    keys = sorted(self.settings | now.settings)
    names = sorted(self.inputs | now.inputs)
    return [
      f'{key}: {self.settings.get(key)!r} there, {now.settings.get(key)!r} now'
      for key in keys
      if self.settings.get(key) != now.settings.get(key)
    ] + [
      f'its input {name} has changed since'
      for name in names
      if self.inputs.get(name) != now.inputs.get(name)
    ]
