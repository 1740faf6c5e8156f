"""Many processes, on one host or many, that run one program together.

All of them run the same stages in the same order. Process 0 alone decides what
is done, writes and speaks; the work directory is one file system that all of
them see (`run.shared`). Without `together` there is one process.

What the processes say to each other outside of compiled programs goes through
the key-value store that jax keeps at process 0: it needs no device, and a wait
there can be left by a signal.

A process that ends before the others ends them all, each with one line that
says why, whichever of these comes first: it said so itself (`abandon`); a
collective failed, for its connection is gone (`lost`); or jax missed its
heartbeat, upon which its C++ aborts, see `native`.
"""

import contextlib
import dataclasses
import itertools
import json
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from monosem_jax.config.errors import Stopped, UserError
from monosem_jax.device import native

# The exit code where processes did not find or lost each other, and may do
# better next time: EX_TEMPFAIL of sysexits.h.
TRY_AGAIN = 75
# A process that is not heard of for so long is dead.
_HEARTBEAT_SECONDS = 30
_LOST = (
  'error: another process died, or cannot be reached: its own output says why, '
  'if it could; what jax saw of it is in {libraries}. Start all of them again '
  'with the same command; they go on from the last checkpoint.'
)
# Where a process says that it ends.
_END = 'monosem/end'


@dataclasses.dataclass(frozen=True)
class _Together:
  """The processes, as seen by one of them."""

  client: Any  # jax's, of its key-value store
  index: int
  count: int
  libraries: pathlib.Path  # what they print in C++
  watch: threading.Thread
  rounds: itertools.count  # of `on_first_process` and `largest`
  said: list[str]  # keys in the store, at process 0


_together: _Together | None = None


def alone() -> bool:
  """Whether this process is the only one."""
  return _together is None


def first() -> bool:
  """Whether this process is the one that decides, writes and speaks."""
  return _together is None or _together.index == 0


def log(line: str) -> None:
  """Prints a line for a person, once for all processes."""
  if first():
    print(line)


@contextlib.contextmanager
def together(
  distributed: bool,
  coordinator: str | None,
  num_processes: int | None,
  process_id: int | None,
  seconds: int,
) -> Iterator[None]:
  """Runs the block beside the other processes, if these flags speak of any.

  Args:
    distributed: jax finds them (TPU pods, SLURM, GKE, Open MPI).
    coordinator: HOST:PORT of process 0, where jax is not to find it.
    num_processes: how many there are.
    process_id: which of them this is, from 0.
    seconds: how long to wait for all of them.

  Raises:
    UserError: the flags do not fit together, no cluster is found, the port is
      taken. If the others do not come in time, the program ends here. What
      ends the block early must go to `abandon`, but for `Stopped`.
  """
  flags = {
    '--coordinator': coordinator,
    '--num_processes': num_processes,
    '--process_id': process_id,
  }
  given = [name for name, value in flags.items() if value is not None]
  if distributed and given:
    raise UserError(
      f'--distributed finds what {", ".join(given)} would say; use either.'
    )
  if given:
    _check(coordinator, num_processes, process_id, given)
  native.enough_threads()
  if distributed or given:
    _join(coordinator, num_processes, process_id, seconds)
  try:
    yield
  except Stopped:  # all of them, after the same chunk
    _part()
    raise
  _part()


def _check(coordinator, num_processes, process_id, given) -> None:
  if len(given) < 3:
    raise UserError(
      '--coordinator, --num_processes and --process_id go together; given is '
      f'only {" and ".join(given)}.'
    )
  host, _, port = coordinator.rpartition(':')
  if not (host and port.isdecimal() and 0 < int(port) < 65_536):
    raise UserError(
      f'--coordinator={coordinator}: not HOST:PORT, the address of process 0.'
    )
  if not 0 <= process_id < num_processes:
    raise UserError(
      f'--process_id={process_id}: of --num_processes={num_processes} they '
      f'are 0 to {num_processes - 1}.'
    )
  if process_id > 0:
    return
  with socket.socket() as probe:  # jax may not survive a port that is taken
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      probe.bind(('', int(port)))
    except OSError as e:
      raise UserError(
        f'--coordinator={coordinator}: the port is not free on this host '
        f'({e.strerror}); choose another, for all processes.'
      ) from e


def _join(coordinator, num_processes, process_id, seconds) -> None:
  global _together
  libraries = native.aside()
  native.on_abort(
    TRY_AGAIN,
    f'error: not all {num_processes or "the"} processes met at '
    f'{coordinator or "the address jax found"} within {seconds} seconds '
    '(--join_seconds). Start all, each with its own --process_id; the port '
    f'must be open between the hosts (what jax saw: {libraries}).',
  )
  import jax
  from jax._src import distributed  # the store has no public name

  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  # It would take SIGTERM from us.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      initialization_timeout=seconds,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=_HEARTBEAT_SECONDS,
    )
  except ValueError as e:
    if coordinator:
      raise
    libraries.unlink()
    raise UserError(
      '--distributed: jax finds no cluster (TPU pod, SLURM, GKE, MPI): '
      f'{str(e).splitlines()[0]} Use --coordinator, --num_processes and '
      '--process_id.'
    ) from e
  except RuntimeError as e:
    native.leave(TRY_AGAIN, f'error: the processes did not meet: {e}')
  state = distributed.global_state
  _together = _Together(
    client=state.client,
    index=state.process_id,
    count=state.num_processes,
    libraries=libraries,
    watch=threading.Thread(target=_watch, daemon=True),
    rounds=itertools.count(),
    said=[],
  )
  native.on_abort(TRY_AGAIN, _own_line(_LOST.format(libraries=libraries)))
  _together.watch.start()
  require_same('--num_processes', _together.count)


def require_same(what: str, value: Any) -> None:
  """Sees to it that a value, which must be JSON, is that of process 0.

  Raises:
    UserError: it is not; `what` names it.
  """
  if on_first_process(lambda: value) != value:
    raise UserError(f'{what}: not what process 0 was given.')


def on_first_process(work: Callable[[], Any]) -> Any:
  """What `work()` gives at process 0, to all; the others wait for it.

  For decisions that all must take alike, and for what one does for all. The
  value must be JSON; an error ends all processes.
  """
  if _together is None:
    return work()
  key = f'monosem/{next(_together.rounds)}'
  if not first():
    return json.loads(_value(key))
  value = work()
  _together.client.key_value_set(key, json.dumps(value))
  _together.said.append(key)
  return value


def largest(value: int) -> int:
  """The largest of the values that the processes bring."""
  if _together is None:
    return value
  key, t = f'monosem/{next(_together.rounds)}', _together
  if not first():
    t.client.key_value_set(f'{key}/{t.index}', str(value))

  def gather() -> int:
    brought = [int(_value(f'{key}/{i}')) for i in range(1, t.count)]
    # All are here: what was said before is read.
    while t.said:
      t.client.key_value_delete(t.said.pop())
    t.said.append(key)
    return max(value, *brought)

  return on_first_process(gather)


def barrier() -> None:
  """Waits until all processes are here."""
  largest(0)


def _value(key: str) -> str:
  """What a key holds, once it does; waited for in slices, to see signals."""
  assert _together is not None
  while True:
    try:
      return _together.client.blocking_key_value_get(key, 1_000)
    except RuntimeError as e:
      if 'DEADLINE_EXCEEDED' not in str(e):
        raise


def _watch() -> None:
  """Ends this process when another one says that it has to end."""
  with contextlib.suppress(RuntimeError):  # the store is gone: seen elsewhere
    note = json.loads(_value(_END))
    if note is not None and _together and note['process'] != _together.index:
      if first():
        time.sleep(1)  # the store ends with this process
      _leave(note['code'], f'process {note["process"]}: {note["message"]}')


def _part() -> None:
  """Leaves the other processes, all of which are done, too."""
  global _together
  if _together is None:
    return
  import jax

  barrier()
  if first():
    _together.client.key_value_set(_END, 'null')
  _together.watch.join()
  jax.distributed.shutdown()
  native.on_abort()
  _together.libraries.unlink(missing_ok=True)
  _together = None


def abandon(code: int, message: str) -> None:
  """Ends all processes, with an exit code and a line; returns if it is alone.

  At its orderly end, jax would wait for the others, and abort.
  """
  if _together is None:
    return
  note = {'process': _together.index, 'code': code, 'message': message}
  with contextlib.suppress(RuntimeError):  # another was first, or 0 is gone
    _together.client.key_value_set(_END, json.dumps(note))
    if first():
      time.sleep(1)  # the store ends with this process
  _leave(code, message)


def _leave(code: int, message: str) -> None:
  if _together and str(_together.libraries) not in message:
    _together.libraries.unlink(missing_ok=True)
  native.leave(code, _own_line(message))


def _own_line(message: str) -> str:
  """Process 0 may be in the middle of its progress line."""
  return f'\n{message}' if first() else message


def lost(error: BaseException | None) -> str | None:
  """The message for an error caused by another process's death, else None.

  It does not return if that process said why it ended.
  """
  if _together is None:
    return None
  time.sleep(2)  # for `_watch`
  signs = ('Gloo', 'NCCL', 'UNAVAILABLE', 'CoordinationService')
  while error is not None:
    if any(sign in str(error) for sign in signs):
      return _LOST.format(libraries=_together.libraries)
    error = error.__cause__ or error.__context__
  return None
