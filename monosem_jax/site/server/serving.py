"""Runs a site's server, in a thread, on a port of this machine."""

import pathlib
import re
import secrets
import socket
import threading
from collections.abc import Sequence

import uvicorn

from monosem_jax.config.errors import UserError
from monosem_jax.site.server.application import (
  ComputeQueue,
  Engine,
  application,
)
from monosem_jax.site.server.guard import Guard

_HOST = '127.0.0.1'
# The policy of a page that declares none.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'"


def policy(page: str) -> str:
  """The Content-Security-Policy to send with a page.

  It is the page's own, which stays in force beside it, with `connect-src
  'self'`, which lets the page send requests to the server.
  """
  found = re.search(
    r'http-equiv="Content-Security-Policy"\s+content="([ -~]*?)"', page
  )
  kept = found[1] if found else _POLICY
  parts = [part.strip() for part in kept.split(';')]
  parts = [p for p in parts if p and p.split()[0] != 'connect-src']
  return '; '.join([*parts, "connect-src 'self'"])


def listen(port: int) -> socket.socket:
  """Listens on a port of 127.0.0.1; 0 chooses a free one.

  Raises:
    UserError: the port is not free.
  """
  listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
  listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  try:
    listener.bind((_HOST, port))
    listener.listen()
  except OSError as e:
    listener.close()
    raise UserError(
      f'--port={port}: is not free ({e.strerror}); choose another, or 0 for '
      'any free one.'
    ) from e
  return listener


class Serving:
  """A running server.

  Attributes:
    port: the port that it listens on.
    path: the first part of every path: `/TOKEN/`.
    url: the page's whole address. Whoever knows it can use the server.
  """

  def __init__(
    self, guard: Guard, queue: ComputeQueue, listener: socket.socket
  ):
    self.port = listener.getsockname()[1]
    self.path = f'/{guard.token}/'
    self.url = f'http://{_HOST}:{self.port}{self.path}'
    self._queue = queue
    self._server = uvicorn.Server(
      uvicorn.Config(
        guard,
        http='h11',
        loop='asyncio',
        ws='none',
        lifespan='off',
        log_config=None,
        log_level='error',
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
      )
    )
    self._ended = threading.Event()
    # In a thread uvicorn installs no signal handlers of its own.
    self._thread = threading.Thread(
      target=self._serve, args=(listener,), daemon=True
    )
    self._thread.start()
    while not (self._server.started or self._ended.wait(0.01)):
      pass

  def _serve(self, listener: socket.socket) -> None:
    try:
      self._server.run([listener])
    finally:
      self._ended.set()

  def wait(self) -> None:
    """Waits until the server ends, or a signal raises an exception here."""
    # Not by Thread.join: before Python 3.13, a join that a signal interrupts
    # marks the thread as ended, and `close` would not wait for it.
    self._ended.wait()

  def close(self) -> None:
    """Ends the server; streams end after their current event."""
    self._queue.closing = self._server.should_exit = True
    self._thread.join()
    self._queue.close()


def start(
  site: pathlib.Path,
  engine: Engine,
  listener: socket.socket,
  suffixes: Sequence[str] = (),
) -> Serving:
  """Starts to serve a site.

  Args:
    site: the folder of the page.
    engine: computes the answers.
    listener: see `listen`.
    suffixes: see `Guard`.
  """
  queue = ComputeQueue()
  page = (site / 'index.html').read_text(encoding='utf-8')
  guard = Guard(
    application(site, engine, queue),
    token=secrets.token_urlsafe(24),
    port=listener.getsockname()[1],
    policy=policy(page),
    suffixes=suffixes,
  )
  return Serving(guard, queue, listener)
