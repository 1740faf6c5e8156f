"""Checks that processes on different machines share one work directory."""

import pathlib
import secrets
import socket
import time

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts
from monosem_jax.run.files import write_file


def require_shared(root: pathlib.Path, seconds: int) -> None:
  """Checks that all processes see the same work directory.

  Raises:
    UserError: a file of process 0 does not appear within `seconds`.
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
        f'--workdir: {root} on {socket.gethostname()} is not the folder of '
        'process 0; it must be on a file system that all processes share.'
      )
    time.sleep(0.1)
  hosts.barrier()
  if hosts.first():
    file.unlink()
