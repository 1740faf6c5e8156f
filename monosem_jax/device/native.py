"""Control over jax's C++ code: its output, its aborts and its threads.

When one of several processes ends, jax's C++ code in the others prints pages
and aborts. With these functions, a user sees one line instead.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import signal
import sys
import tempfile
import threading
from typing import Any

_leaving = threading.Lock()
_handler: Any = None  # a reference, since C++ still calls it


def redirect_output() -> pathlib.Path:
  """Redirects the output of C++ code to a new file, and returns its path.

  File descriptors 1 and 2 point to that file from now on; Python's `sys.stdout`
  and `sys.stderr` keep their targets.
  """
  file, path = tempfile.mkstemp(prefix='monosem_', suffix='.log')
  for name, number in (('stdout', 1), ('stderr', 2)):
    stream = getattr(sys, name)
    stream.flush()
    mine = os.fdopen(
      os.dup(number),
      'w',
      buffering=1,
      encoding=stream.encoding,
      errors=stream.errors,
    )
    setattr(sys, name, mine)
    os.dup2(file, number)
  os.close(file)
  return pathlib.Path(path)


def enough_threads() -> None:
  """Makes XLA start enough threads for several devices on one CPU.

  A device that waits in a collective holds a thread of a pool, and the devices
  that still compute need threads of the same pool. XLA starts as many threads
  as there are devices or cores, so that all may wait and XLA aborts. Call this
  before jax makes its first array; XLA reads NPROC.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  found = re.search(r'--xla_force_host_platform_device_count=(\d+)', flags)
  if found and int(found[1]) > (os.cpu_count() or 1):
    os.environ.setdefault('NPROC', str(4 * int(found[1])))


def on_abort(code: int = 0, message: str = '') -> None:
  """Makes an abort on any thread end the process with a code and a message.

  An empty message restores the default. Python's `signal` cannot do this: its
  handlers wait for the C++ code to return, which it never does.
  """
  global _handler
  libc = ctypes.CDLL(None)
  libc.signal.argtypes = ctypes.c_int, ctypes.c_void_p
  libc.signal.restype = ctypes.c_void_p
  if not message:
    libc.signal(signal.SIGABRT, None)
    return
  handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: leave(code, message))
  libc.signal(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
  _handler = handler


def leave(code: int, message: str) -> None:
  """Prints a message and ends the process at once, whatever its threads do."""
  _leaving.acquire()  # never released: only one thread prints
  with contextlib.suppress(OSError, ValueError):
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
  os._exit(code)
