"""What C++ does to a process: it prints, it aborts, and it counts its threads.

Where many processes run together, jax's C++ answers the end of one of them with
pages of its own and an abort of the others. A person is to see one line.
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
_handler: Any = None  # kept from being collected: C++ calls it


def aside() -> pathlib.Path:
  """Sends what C++ prints to a new file, and returns it.

  It has file descriptors 1 and 2 of its own from now on; Python goes on writing
  where it did.
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
  """Has XLA make enough threads for devices of a CPU that share its cores.

  A device that waits for the others in a collective holds a thread of one pool,
  and what these still compute needs threads of the same one. XLA makes as many
  as there are devices or cores; then all may come to wait, and XLA aborts. To
  be called before jax makes its first array; NPROC is where XLA looks.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  found = re.search(r'--xla_force_host_platform_device_count=(\d+)', flags)
  if found and int(found[1]) > (os.cpu_count() or 1):
    os.environ.setdefault('NPROC', str(4 * int(found[1])))


def on_abort(code: int = 0, message: str = '') -> None:
  """Has an abort, on whatever thread, end with an exit code and a line.

  Without a line, an abort is one again. Python's own `signal` cannot do this:
  its handlers wait for C++ to return, which it never does.
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
  """Ends the process at once, whatever its threads are doing, with a line."""
  _leaving.acquire()  # for ever: one thread speaks
  with contextlib.suppress(OSError, ValueError):
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
  os._exit(code)
