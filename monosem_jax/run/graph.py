"""The states of artefacts: complete, half done, stale or missing.

An artefact's stamp is written before its first result, and the files that mark
it as complete are written last. A kill at any moment therefore leaves it half
done, never wrong.
"""

import contextlib
import dataclasses
import enum
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
from monosem_jax.run.artefact import Artefact, Changed
from monosem_jax.run.files import read_json
from monosem_jax.run.stamp import Stamp


class Kind(enum.Enum):
  """The kinds of states. A stale artefact has other settings or inputs."""

  COMPLETE = 'complete'
  HALF_DONE = 'half done'
  STALE = 'stale'
  MISSING = 'missing'


@dataclasses.dataclass(frozen=True)
class State:
  """The state of an artefact.

  Attributes:
    kind: the kind of state.
    step: steps done by a half-done training.
    steps: steps that the training needs; 0 for everything else.
    changed: what changed since a stale artefact was made, a line each.
  """

  kind: Kind
  step: int = 0
  steps: int = 0
  changed: tuple[str, ...] = ()

  def __str__(self) -> str:
    why = '; '.join(self.changed)
    if self.steps:
      why = f'step {self.step:,} of {self.steps:,}'
    return f'{self.kind.value}: {why}' if why else self.kind.value


def state(a: Artefact) -> State:
  """Returns the state of an artefact; changes nothing.

  A missing input counts as unchanged, since it has its own state.
  """
  there = Stamp.read(a.folder)
  whole = [path.exists() for path in a.whole.values()]
  if there is None and not any(whole):
    return State(Kind.MISSING)
  if there is None and a.changed is Changed.ANEW:
    return State(Kind.STALE, changed=('its stamp is missing',))
  if there is not None:
    known = {k: i.hash() for k, i in a.inputs.items() if i.file.exists()}
    gone = a.inputs.keys() - known
    inputs = known | {k: there.inputs[k] for k in gone if k in there.inputs}
    lines = there.differences(Stamp(dict(a.settings), inputs))
    if lines:
      return State(Kind.STALE, changed=tuple(lines))
  if a.progress is None:
    return State(Kind.COMPLETE if all(whole) else Kind.HALF_DONE)
  wanted = a.progress.steps
  finished = [_steps(path) for path in a.whole.values()]
  if max(finished) > wanted:
    line = f'{max(finished):,} steps before, {wanted:,} now'
    return State(Kind.STALE, changed=(line,))
  if min(finished) == wanted:
    return State(Kind.COMPLETE)
  done = max(min(finished), min(a.progress.done(), wanted))
  return State(Kind.HALF_DONE, step=done, steps=wanted)


def complete(a: Artefact, log: Callable[[str], None]) -> bool:
  """Returns whether an artefact is complete, and logs it if it is.

  All processes must call this together. An artefact that will be remade, since
  its settings or inputs changed, is not complete.

  Raises:
    UserError: settings or inputs changed and the artefact must not be remade
      for that, or an input is missing.
  """
  return bool(hosts.on_first_process(lambda: _complete(a, log)))


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
      f'{label}: already trained for {done:,} steps, more than the {steps:,} '
      f'of the config; a training can only be extended. Delete {path.parent} '
      'to train again, or use another --workdir.'
    )
  return done == steps


def _steps(result: pathlib.Path) -> int:
  """Returns the steps of a finished training; 0 if it is not finished."""
  return read_json(result)['steps'] if result.exists() else 0


def is_complete(a: Artefact) -> bool:
  """Returns whether an artefact is complete and made from current inputs."""
  return state(a).kind is Kind.COMPLETE


def _refusal(a: Artefact, lines: list[str]) -> str:
  return (
    f'{a.stage}: {a.folder} was made with other settings or inputs:\n'
    + ''.join(f'  {line}\n' for line in lines)
    + 'Use another --workdir, restore these settings, or delete that folder to '
    'remake it'
    + (f' (which makes {", ".join(a.later)} stale).' if a.later else '.')
  )


def begin(a: Artefact) -> None:
  """Writes the stamp of an artefact that is about to be made or continued.

  All processes must call this together. An artefact that is remade is removed
  first.
  """

  def write() -> None:
    if a.changed is Changed.ANEW:
      shutil.rmtree(a.folder, ignore_errors=True)
    a.stamp().write(a.folder)

  hosts.on_first_process(write)


@contextlib.contextmanager
def making(a: Artefact) -> Iterator[pathlib.Path]:
  """Begins an artefact that all processes compute, and yields a folder to fill.

  The first process gets the artefact's folder, and the others a temporary one.
  All wait at the end, since the next step may read the artefact.
  """
  begin(a)
  if hosts.first():
    yield a.folder
  else:
    with tempfile.TemporaryDirectory() as dropped:
      yield pathlib.Path(dropped)
  hosts.barrier()


def made_from_now(a: Artefact) -> bool:
  """Returns whether an artefact was made from exactly the current inputs.

  Raises:
    UserError: an input is missing.
  """
  there = Stamp.read(a.folder)
  return there is not None and there.inputs == a.stamp().inputs


def changed_inputs(a: Artefact) -> set[str]:
  """Returns the inputs that exist but changed since the artefact was made.

  Inputs that the artefact's stamp does not name are ignored.
  """
  there = Stamp.read(a.folder) or Stamp({}, {})
  return {
    name
    for name, i in a.inputs.items()
    if i.file.exists() and there.inputs.get(name, i.hash()) != i.hash()
  }


def require(artefacts: Iterable[Artefact], request: str) -> None:
  """Checks that artefacts are complete.

  Args:
    artefacts: the artefacts.
    request: the flag that needs them, for the message: `--from=features`.

  Raises:
    UserError: some are not complete; the message lists their states.
  """
  states = {a.name: state(a) for a in artefacts}
  lines = [
    f'  {name}: {found}\n'
    for name, found in states.items()
    if found.kind is not Kind.COMPLETE
  ]
  if lines:
    raise UserError(
      f'{request}: earlier stages are not complete:\n'
      + ''.join(lines)
      + 'Start at an earlier stage, or restore the settings that changed.'
    )
