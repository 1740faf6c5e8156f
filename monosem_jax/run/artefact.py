"""Declarations of the artefacts that stages make in the work directory."""

import dataclasses
import enum
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

from monosem_jax.run.files import read_json, sha256
from monosem_jax.run.stamp import Stamp


class Changed(enum.Enum):
  """The treatment of an artefact whose settings or inputs have changed."""

  REFUSED = 'refuse the run, since remaking it takes hours'
  INPUTS_ANEW = 'remake it for changed inputs, refuse changed settings'
  ANEW = 'remake it'


@dataclasses.dataclass(frozen=True)
class Input:
  """A file of another artefact that an artefact is made from.

  Attributes:
    file: the file.
    key: key of its hash in that file, which is JSON; '' hashes the file.
  """

  file: pathlib.Path
  key: str = ''

  def hash(self) -> str:
    """Returns the hash that stamps record.

    Raises:
      UserError: the file is missing.
    """
    if self.key:
      return str(read_json(self.file)[self.key])
    if not self.file.exists():
      return sha256(self.file)  # raises the error
    found = self.file.stat()
    return _hash(self.file, found.st_ino, found.st_mtime_ns, found.st_size)


@functools.cache
def _hash(file: pathlib.Path, *version: int) -> str:
  return sha256(file)


@dataclasses.dataclass(frozen=True)
class Progress:
  """The progress of a training, by its checkpoints.

  Attributes:
    checkpoints: folder of checkpoints, named by the number of chunks done.
    steps_per_chunk: training steps per chunk.
    steps: steps of the whole training.
  """

  checkpoints: pathlib.Path
  steps_per_chunk: int
  steps: int

  def done(self) -> int:
    """Returns the number of steps of the newest checkpoint."""
    if not self.checkpoints.is_dir():
      return 0
    names = (path.name for path in self.checkpoints.iterdir())
    chunks = [int(name) for name in names if name.isdecimal()]
    return max(chunks, default=0) * self.steps_per_chunk


@dataclasses.dataclass(frozen=True)
class Artefact:
  """A result that a stage makes in the work directory.

  Attributes:
    name: `tokens`, `models/A`, `features/A1`, `analysis/density`, ...
    stage: the stage that makes it.
    folder: its folder, which holds its stamp.
    whole: the files that mark it as complete, by the label in log lines, such
      as `lm/A`.
    settings: values of the config keys that change it.
    inputs: the files it is made from, by name.
    changed: treatment if settings or inputs have changed.
    later: stages whose results become stale when it is remade.
    progress: progress of a training; None for other artefacts.
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
    """Returns the stamp of its current settings and inputs.

    Raises:
      UserError: an input is missing.
    """
    hashes = {name: i.hash() for name, i in self.inputs.items()}
    return Stamp(dict(self.settings), hashes)
