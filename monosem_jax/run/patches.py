"""Patches of other libraries, which drop messages of orbax and TensorStore.

An error in a save is raised to us and reported in one line. These libraries
also print it, from several threads, and would bury that line. Neither has an
option against it: absl's verbosity applies to all of its users. `Checkpoints`
applies the patches when it is made; importing this module changes nothing.
"""

import functools
import logging
import os
import sys

_ORBAX = os.sep + os.path.join('orbax', 'checkpoint') + os.sep


@functools.cache
def apply() -> None:
  """Applies all patches, once per process."""
  logging.getLogger('absl').addFilter(_not_from_orbax)
  logging.getLogger('asyncio').addFilter(_not_of_a_load)
  _drop_late_writes()


def _not_from_orbax(record: logging.LogRecord) -> bool:
  """Drops orbax's log records and passes those of absl's other users.

  Each orbax thread logs a failed save with its traceback before it raises the
  error, all through absl's only logger:
  https://github.com/google/orbax/blob/main/checkpoint/orbax/checkpoint/_src/futures/future.py
  (`_SignalingThread.run`). Remove this when orbax has its own logger, or no
  longer logs what it raises.
  """
  return _ORBAX not in record.pathname


def _not_of_a_load(record: logging.LogRecord) -> bool:
  """Drops asyncio's log records of further errors of a failed load.

  Orbax reads all arrays of a checkpoint in tasks of one loop and raises the
  first error. asyncio logs the errors of all other tasks with tracebacks:
  https://github.com/google/orbax/blob/main/checkpoint/orbax/checkpoint/_src/serialization/serialization.py
  (`async_deserialize`). Remove this when orbax cancels those tasks.
  """
  never = 'exception was never retrieved' in record.msg
  return not (never and _ORBAX in record.getMessage())


def _drop_late_writes() -> None:
  """Silences writes that end after the event loop of a failed save is closed.

  The first failed write closes the loop. Each other write reports to the loop
  later, from a TensorStore thread where the error cannot be caught:
  https://github.com/google/tensorstore/blob/master/python/tensorstore/future.cc
  (`call_soon_threadsafe`). Remove this when TensorStore ignores closed loops.
  """
  before = sys.unraisablehook

  def hook(unraisable: 'sys.UnraisableHookArgs') -> None:
    error = unraisable.exc_value
    late = isinstance(error, RuntimeError) and 'loop is closed' in str(error)
    if not (late and unraisable.object is None):
      before(unraisable)

  sys.unraisablehook = hook
