"""Patches of other libraries: what orbax and TensorStore print is dropped.

What goes wrong in a save is raised to us, and said in one line; what these
libraries print besides, from several threads, would bury it. Neither has an
option for that: absl's verbosity is that of everybody who logs through it.
`Checkpoints` applies the patches when it is made; importing this module changes
nothing.
"""

import functools
import logging
import os
import sys

_ORBAX = os.sep + os.path.join('orbax', 'checkpoint') + os.sep


@functools.cache
def apply() -> None:
  """Applies all patches, once for the process."""
  logging.getLogger('absl').addFilter(_not_from_orbax)
  _drop_late_writes()


def _not_from_orbax(record: logging.LogRecord) -> bool:
  """Drops orbax's log records; those of absl's other users pass.

  Orbax logs a failed save with its traceback in each of its threads before it
  raises it, all through absl's one logger:
  https://github.com/google/orbax/blob/main/checkpoint/orbax/checkpoint/_src/futures/future.py
  (`_SignalingThread.run`). To go when orbax has a logger of its own, or no
  longer logs what it raises.
  """
  return _ORBAX not in record.pathname


def _drop_late_writes() -> None:
  """Silences writes that end after the loop of a failed save was closed.

  The first write that fails closes the loop. Each of the others tells it of its
  end later, from a thread of TensorStore's where nobody can catch the error:
  https://github.com/google/tensorstore/blob/master/python/tensorstore/future.cc
  (`call_soon_threadsafe`). To go when TensorStore passes over a closed loop.
  """
  before = sys.unraisablehook

  def hook(unraisable: 'sys.UnraisableHookArgs') -> None:
    error = unraisable.exc_value
    late = isinstance(error, RuntimeError) and 'loop is closed' in str(error)
    if not (late and unraisable.object is None):
      before(unraisable)

  sys.unraisablehook = hook
