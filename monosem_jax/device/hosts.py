"""Several processes, on one host or more, that run one program together.

All processes run the same stages in the same order. Process 0 alone makes
decisions, writes files and prints. The work directory lies on a file system
that all processes share (`run.shared`). Without `together`, one process runs.

Outside of compiled programs, processes communicate through the key-value store
that jax keeps at process 0. The store needs no device, and a signal can
interrupt a wait for it.

A process that ends early ends all others, each with a one-line reason. They
notice it in one of three ways: the process announces its end (`abandon`); a
collective fails because its connection is gone (`lost`); or jax misses its
heartbeat and its C++ code aborts (`native`).
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

# The exit code if processes did not find or lost each other, so that another
# try may succeed: EX_TEMPFAIL of sysexits.h.
TRY_AGAIN = 75
# A process without a heartbeat for this long is dead.
_HEARTBEAT_SECONDS = 30
_LOST = (
  'error: another process died, or cannot be reached; its own output may say '
  'why. The output of jax is in {libraries}. Start all processes again with '
  'the same command; they continue from the last checkpoint.'
)
# The key under which a process announces its end.
_END = 'monosem/end'


@dataclasses.dataclass(frozen=True)
class _Together:
  """The group of processes, as seen by this one."""

  client: Any  # jax's client of its key-value store
  index: int
  count: int
  libraries: pathlib.Path  # the file of what C++ code prints
  watch: threading.Thread
  rounds: itertools.count  # numbers calls of `on_first_process` and `largest`
  said: list[str]  # keys that process 0 has put into the store


_together: _Together | None = None


def alone() -> bool:
  """Returns whether this process is the only one."""
  return _together is None


def first() -> bool:
  """Returns whether this process decides, writes and prints for all."""
  return _together is None or _together.index == 0


def log(line: str) -> None:
  """Prints a line once for all processes."""
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
  """Joins the other processes, if the flags name any, and runs the block.

  An error that ends the block, other than `Stopped`, must be passed to
  `abandon`. If a process does not join in time, the program exits.

  Args:
    distributed: whether jax finds the processes (TPU pods, SLURM, GKE, Open
      MPI).
    coordinator: HOST:PORT of process 0, if jax does not find it.
    num_processes: number of processes.
    process_id: number of this process, from 0.
    seconds: time to wait for all processes.

  Raises:
    UserError: the flags do not fit together, no cluster is found, or the port
      is taken.
  """
  flags = {
    '--coordinator': coordinator,
    '--num_processes': num_processes,
    '--process_id': process_id,
  }
  given = [name for name, value in flags.items() if value is not None]
  if distributed and given:
    raise UserError(f'--distributed replaces {", ".join(given)}; use either.')
  if given:
    _check(coordinator, num_processes, process_id, given)
  native.enough_threads()
  if distributed or given:
    _join(coordinator, num_processes, process_id, seconds)
  try:
    yield
  except Stopped:  # all processes stop after the same chunk
    _part()
    raise
  _part()


def _check(coordinator, num_processes, process_id, given) -> None:
  if len(given) < 3:
    raise UserError(
      '--coordinator, --num_processes and --process_id must be given together, '
      f'not only {" and ".join(given)}.'
    )
  host, _, port = coordinator.rpartition(':')
  if not (host and port.isdecimal() and 0 < int(port) < 65_536):
    raise UserError(
      f'--coordinator={coordinator}: must be HOST:PORT, the address of process '
      '0.'
    )
  if not 0 <= process_id < num_processes:
    raise UserError(
      f'--process_id={process_id}: with --num_processes={num_processes}, '
      f'process ids are 0 to {num_processes - 1}.'
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
  libraries = native.redirect_output()
  native.on_abort(
    TRY_AGAIN,
    f'error: not all {num_processes or "the"} processes joined at '
    f'{coordinator or "the address jax found"} within {seconds} seconds '
    '(--join_seconds). Start all of them, each with its own --process_id. The '
    f'port must be open between the hosts. The output of jax: {libraries}.',
  )
  import jax
  from jax._src import distributed  # the store has no public name

  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  # The service would intercept SIGTERM.
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
    native.leave(TRY_AGAIN, f'error: the processes could not join: {e}')
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
  """Checks that a value, which must be JSON, equals that of process 0.

  Raises:
    UserError: the value differs; the message begins with `what`.
  """
  if on_first_process(lambda: value) != value:
    raise UserError(f'{what}: differs from that of process 0.')


def on_first_process(work: Callable[[], Any]) -> Any:
  """Runs `work()` on process 0 and returns its value in every process.

  Use it for decisions that all processes must share, and for work that one does
  for all. The value must be JSON; an error ends all processes.
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
  """Returns the largest `value` over all processes."""
  if _together is None:
    return value
  key, t = f'monosem/{next(_together.rounds)}', _together
  if not first():
    t.client.key_value_set(f'{key}/{t.index}', str(value))

  def gather() -> int:
    values = [int(_value(f'{key}/{i}')) for i in range(1, t.count)]
    # All processes have come here, so they have read all earlier keys.
    while t.said:
      t.client.key_value_delete(t.said.pop())
    t.said.append(key)
    return max(value, *values)

  return on_first_process(gather)


def barrier() -> None:
  """Waits until all processes call this."""
  largest(0)


def _value(key: str) -> str:
  """Waits for a key's value, in slices so that signals are handled."""
  assert _together is not None
  while True:
    try:
      return _together.client.blocking_key_value_get(key, 1_000)
    except RuntimeError as e:
      if 'DEADLINE_EXCEEDED' not in str(e):
        raise


def _watch() -> None:
  """Ends this process when another announces the end of all."""
  with contextlib.suppress(RuntimeError):  # a lost store is noticed elsewhere
    note = json.loads(_value(_END))
    if note is not None and _together and note['process'] != _together.index:
      if first():
        time.sleep(1)  # the store ends with this process
      _leave(note['code'], f'process {note["process"]}: {note["message"]}')


def _part() -> None:
  """Leaves the group after all processes are done."""
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
  """Ends all processes with an exit code and a message; one alone returns.

  An orderly exit would not do: jax would wait for the others, then abort.
  """
  if _together is None:
    return
  note = {'process': _together.index, 'code': code, 'message': message}
  with contextlib.suppress(RuntimeError):  # another was first, or 0 has ended
    _together.client.key_value_set(_END, json.dumps(note))
    if first():
      time.sleep(1)  # the store ends with this process
  _leave(code, message)


def _leave(code: int, message: str) -> None:
  if _together and str(_together.libraries) not in message:
    _together.libraries.unlink(missing_ok=True)
  native.leave(code, _own_line(message))


def _own_line(message: str) -> str:
  """Puts process 0's message below its unfinished progress line."""
  return f'\n{message}' if first() else message


def lost(error: BaseException | None) -> str | None:
  """The message for an error caused by another process's death, else None.

  It does not return if that process announced why it ended.
  """
  if _together is None:
    return None
  time.sleep(2)  # lets `_watch` read an announcement
  signs = ('Gloo', 'NCCL', 'UNAVAILABLE', 'CoordinationService')
  while error is not None:
    if any(sign in str(error) for sign in signs):
      return _LOST.format(libraries=_together.libraries)
    error = error.__cause__ or error.__context__
  return None
