"""One work directory for all processes, which may be on different machines."""

import pathlib
import secrets
import socket
import time

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
from monosem_jax.run.files import write_file


def require_shared(root: pathlib.Path, seconds: int) -> None:
  """Sees to it that a work directory is the same one for all processes.

  Raises:
    UserError: what process 0 wrote there is not here after so many seconds.
  """
  if hosts.alone():
    return
  file = root / '.shared'

  def write() -> str:
    token = secrets.token_hex(8)
    write_file(file, token.encode())
    return token

  token = hosts.on_first_process(write)
  until = time.monotonic() + seconds
  while not (file.exists() and file.read_text() == token):
    if time.monotonic() > until:
      raise UserError(
        f'--workdir: {root} on {socket.gethostname()} is not the folder that '
        'process 0 has; it must lie on a file system that all share.'
      )
    time.sleep(0.1)
  hosts.barrier()
  if hosts.first():
    file.unlink()
