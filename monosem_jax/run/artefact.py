"""What a stage leaves in the work directory, as a declaration."""

import dataclasses
import enum
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from monosem_jax.run.files import read_json, sha256
from monosem_jax.run.stamp import Stamp


class Changed(enum.Enum):
  """What is done with an artefact whose settings or inputs have changed."""

  REFUSED = 'the run is refused: it took hours'
  INPUTS_ANEW = 'changed inputs make it anew, changed settings are refused'
  ANEW = 'it is made anew'


@dataclasses.dataclass(frozen=True)
class Input:
  """A result of another artefact that an artefact is made from.

  Attributes:
    file: what it lies in.
    key: the entry of a JSON file that holds its hash; '' hashes the file.
  """

  file: pathlib.Path
  key: str = ''

  def hash(self) -> str:
    """The hash, as stamps have it.

    Raises:
      UserError: the file is missing.
    """
    if self.key:
      return str(read_json(self.file)[self.key])
    if not self.file.exists():
      return sha256(self.file)  # says what is missing
    found = self.file.stat()
    return _hash(self.file, found.st_ino, found.st_mtime_ns, found.st_size)


@functools.cache
def _hash(file: pathlib.Path, *version: int) -> str:
  return sha256(file)


@dataclasses.dataclass(frozen=True)
class Progress:
  """How far a training has come, by its checkpoints.

  Attributes:
    checkpoints: a folder with a checkpoint by number of chunks done.
    steps_per_chunk: training steps of a chunk.
    steps: that are wanted.
  """

  checkpoints: pathlib.Path
  steps_per_chunk: int
  steps: int

  def done(self) -> int:
    """Steps that the newest checkpoint has done."""
    if not self.checkpoints.is_dir():
      return 0
    names = (path.name for path in self.checkpoints.iterdir())
    chunks = [int(name) for name in names if name.isdecimal()]
    return max(chunks, default=0) * self.steps_per_chunk


@dataclasses.dataclass(frozen=True)
class Artefact:
  """What a stage leaves in the work directory.

  Attributes:
    name: `tokens`, `models/A`, `features/A1`, `analysis/density`, ...
    stage: that makes it.
    folder: its own, with its stamp.
    whole: the files that are there once it is whole, by what is said to be
      complete: `lm/A`.
    settings: the config's keys that change it, and their values.
    inputs: what it is made from, by name.
    changed: what is done with it if these are not what it was made from.
    later: the stages whose results a new one makes stale.
    progress: how far it has come; None for what is made in one go.
  """

  name: str
  stage: str
  folder: pathlib.Path
  whole: Mapping[str, pathlib.Path]
  settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  inputs: Mapping[str, Input] = dataclasses.field(default_factory=dict)
  changed: Changed = Changed.REFUSED
  later: tuple[str, ...] = ()
  progress: Progress | None = None

  def stamp(self) -> Stamp:
    """What it would be made from now.

    Raises:
      UserError: an input is missing.
    """
    hashes = {name: i.hash() for name, i in self.inputs.items()}
    return Stamp(dict(self.settings), hashes)
