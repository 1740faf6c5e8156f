"""The graph of a run: what its stages leave, what from, and in what state.

A stage declares its artefacts. An artefact's stamp is written before its first
result, and the files that say that it is whole come last: a run that is killed
at any moment leaves it half done, never wrong.
"""

import contextlib
import dataclasses
import enum
import functools
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
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
      return read_json(self.file)[self.key]
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


class Kind(enum.Enum):
  COMPLETE = 'complete'
  HALF_DONE = 'half done'
  STALE = 'stale'
  MISSING = 'missing'


@dataclasses.dataclass(frozen=True)
class State:
  """The state of an artefact.

  Attributes:
    kind: which.
    why: the step that a training has come to, or what has changed.
  """

  kind: Kind
  why: str = ''

  def __str__(self) -> str:
    return f'{self.kind.value}: {self.why}' if self.why else self.kind.value


def state(a: Artefact) -> State:
  """Says in which state an artefact is; changes nothing.

  An input that is not there is taken as unchanged: it has its own state.
  """
  there = Stamp.read(a.folder)
  whole = [path.exists() for path in a.whole.values()]
  if there is None and not any(whole):
    return State(Kind.MISSING)
  if there is None and a.changed is Changed.ANEW:
    return State(Kind.STALE, 'nothing says what it was made from')
  if there is not None:
    known = {k: i.hash() for k, i in a.inputs.items() if i.file.exists()}
    gone = a.inputs.keys() - known
    inputs = known | {k: there.inputs[k] for k in gone if k in there.inputs}
    lines = there.differences(Stamp(dict(a.settings), inputs))
    if lines:
      return State(Kind.STALE, '; '.join(lines))
  if a.progress is None:
    return State(Kind.COMPLETE if all(whole) else Kind.HALF_DONE)
  wanted = a.progress.steps
  finished = [_steps(path) for path in a.whole.values()]
  if max(finished) > wanted:
    return State(
      Kind.STALE, f'{max(finished):,} steps there, {wanted:,} wanted now'
    )
  if min(finished) == wanted:
    return State(Kind.COMPLETE)
  done = max(min(finished), min(a.progress.done(), wanted))
  return State(Kind.HALF_DONE, f'step {done:,} of {wanted:,}')


def complete(a: Artefact, log: Callable[[str], None]) -> bool:
  """Whether an artefact is complete; says so. All processes ask together.

  What changed settings or inputs make anew is not complete.

  Raises:
    UserError: it was made otherwise and is not made anew for that, or an input
      is missing.
  """
  return hosts.on_first_process(lambda: _complete(a, log))


def _complete(a: Artefact, log: Callable[[str], None]) -> bool:
  there, now = Stamp.read(a.folder), a.stamp()
  if a.changed is Changed.ANEW:
    if there != now:
      return False
  elif there not in (None, now):
    if there.settings != now.settings or a.changed is Changed.REFUSED:
      raise UserError(_refusal(a, there.differences(now)))
    shutil.rmtree(a.folder)
    return False
  for label, path in a.whole.items():
    if not _whole(a, label, path):
      return False
    log(f'{label}: complete')
  return True


def _whole(a: Artefact, label: str, path: pathlib.Path) -> bool:
  if a.progress is None:
    return path.exists()
  done, steps = _steps(path), a.progress.steps
  if done > steps:
    raise UserError(
      f'{label}: was trained for {done:,} steps already, and {steps:,} are '
      f'asked for; a training can only be made longer. Delete {path.parent} to '
      'make it anew, or use another --workdir.'
    )
  return done == steps


def _steps(result: pathlib.Path) -> int:
  """The steps of a finished training; 0 if it is not finished."""
  return read_json(result)['steps'] if result.exists() else 0


def is_complete(a: Artefact) -> bool:
  """Whether an artefact is complete, and of what is there now."""
  return state(a).kind is Kind.COMPLETE


def _refusal(a: Artefact, lines: list[str]) -> str:
  return (
    f'{a.stage}: {a.folder} was made otherwise:\n'
    + ''.join(f'  {line}\n' for line in lines)
    + 'Use another --workdir, or set these keys back, or delete that folder to '
    'make it anew'
    + (f' (which makes {", ".join(a.later)} stale).' if a.later else '.')
  )


def begin(a: Artefact) -> None:
  """Stamps an artefact that is about to be made or to go on.

  All processes call it together. What is made anew is removed first.
  """

  def write() -> None:
    if a.changed is Changed.ANEW:
      shutil.rmtree(a.folder, ignore_errors=True)
    a.stamp().write(a.folder)

  hosts.on_first_process(write)


@contextlib.contextmanager
def making(a: Artefact) -> Iterator[pathlib.Path]:
  """Begins an artefact that all processes compute, and gives a folder to fill.

  The first process is given the artefact's own; what the others write is
  dropped.
  """
  begin(a)
  if hosts.first():
    yield a.folder
    return
  with tempfile.TemporaryDirectory() as dropped:
    yield pathlib.Path(dropped)


def made_from_now(a: Artefact) -> bool:
  """Whether an artefact was made from exactly the inputs that are there now.

  Raises:
    UserError: an input is missing.
  """
  there = Stamp.read(a.folder)
  return there is not None and there.inputs == a.stamp().inputs


def changed_inputs(a: Artefact) -> set[str]:
  """The inputs that are there, but not as when the artefact was made.

  An input that the artefact did not know then is none of them.
  """
  there = Stamp.read(a.folder) or Stamp({}, {})
  return {
    name
    for name, i in a.inputs.items()
    if i.file.exists() and there.inputs.get(name, i.hash()) != i.hash()
  }


def require(artefacts: Iterable[Artefact], asked: str) -> None:
  """Sees to it that artefacts are complete.

  Args:
    artefacts: that are needed.
    asked: what needs them, for the message: `--from=features`.

  Raises:
    UserError: some are not; the message names them with their states.
  """
  states = {a.name: state(a) for a in artefacts}
  lines = [
    f'  {name}: {found}\n'
    for name, found in states.items()
    if found.kind is not Kind.COMPLETE
  ]
  if lines:
    raise UserError(
      f'{asked}: what comes before is not complete:\n'
      + ''.join(lines)
      + 'Start at an earlier stage, or set the keys back that have changed.'
    )
