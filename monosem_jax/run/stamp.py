"""What a stage's results were made from, kept beside them.

A stamp is written before the first result. A later run may go on only if it
would make the same thing; fields marked `free` in `settings` do not count.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Iterable, Mapping
from typing import Any

from monosem_jax.config.errors import UserError
from monosem_jax.run.files import read_json, write_json

NAME = 'stamp.json'


def identity(part: Any, prefix: str) -> dict[str, Any]:
  """The fields of a settings dataclass that change a result, keys dotted."""
  found = {}
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
  """A stage's identity.

  Attributes:
    settings: the config keys that change its result.
    inputs: hashes of the earlier stages' results it is made from, by name.
  """

  settings: dict[str, Any]
  inputs: dict[str, str]

  def matches(self, directory: pathlib.Path) -> bool:
    """Whether the results in `directory` are of this stamp."""
    path = directory / NAME
    return path.exists() and read_json(path) == dataclasses.asdict(self)

  def write(self, directory: pathlib.Path) -> None:
    write_json(directory / NAME, dataclasses.asdict(self))

  def replace(self, directory: pathlib.Path) -> None:
    """Removes what is there, and writes the stamp: for what takes minutes."""
    shutil.rmtree(directory, ignore_errors=True)
    self.write(directory)

  def renew(
    self, directory: pathlib.Path, stage: str, later: Iterable[str]
  ) -> None:
    """As `admit`, for a result that takes minutes: made anew if only its inputs
    changed, such as a dictionary that was trained for longer."""
    if (directory / NAME).exists():
      there = Stamp(**read_json(directory / NAME))
      if there.settings == self.settings and there.inputs != self.inputs:
        shutil.rmtree(directory)
    self.admit(directory, stage, later)

  def admit(
    self, directory: pathlib.Path, stage: str, later: Iterable[str]
  ) -> None:
    """Checks the stamp against what is there, and writes it."""
    self.require(directory, stage, later)
    self.write(directory)

  def require(
    self, directory: pathlib.Path, stage: str, later: Iterable[str]
  ) -> None:
    """Checks the stamp against what is there, if anything is.

    Raises:
      UserError: what is there was made otherwise; the message names the keys
        and the later stages that a new result would make stale.
    """
    if not (directory / NAME).exists():
      return
    there = Stamp(**read_json(directory / NAME))
    lines = [
      f'  {key}: {there.settings.get(key)!r} there, '
      f'{self.settings.get(key)!r} now'
      for key in sorted(there.settings | self.settings)
      if there.settings.get(key) != self.settings.get(key)
    ]
    lines += [
      f'  its input {name} has changed since'
      for name in sorted(there.inputs | self.inputs)
      if there.inputs.get(name) != self.inputs.get(name)
    ]
    if lines:
      stale = ', '.join(later)
      raise UserError(
        f'{stage}: {directory} was made otherwise:\n'
        + '\n'.join(lines)
        + '\nUse another --workdir, or set these keys back, or delete that '
        'folder to make it anew'
        + (f' (which makes {stale} stale).' if stale else '.')
      )
