"""The same page, alive: a server on this machine for the page's own scripts.

  GET  /TOKEN/...            the files of the site
  GET  /TOKEN/data/live.js   says that there is a server, and what it offers
  GET  /TOKEN/api/ping       {}
  POST /TOKEN/api/probe      a text: what features do on each token
  POST /TOKEN/api/steer      a prompt: what follows, pinned and not; SSE

Requests are JSON, see `requests`; an error is `{"error": "one line"}`. All
that computes runs in one thread, in the order it came; a stream gives way to
others after each of its events.
"""

import asyncio
import concurrent.futures
import contextlib
import pathlib
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

from monosem_jax.site.server import requests
from monosem_jax.site.server.guard import dump
from monosem_jax.site.server.requests import Refused

# Requests that wait for the one that is computed.
WAITING = 8
_FAILED = {'error': 'the server failed; its terminal says why.'}


class Engine(Protocol):
  """What computes. Raises `Refused`, for what is asked of it cannot be."""

  def about(self) -> dict[str, Any]:
    """`version`, `runs` (`key`, `run`, `model`, `features`), `context`."""

  def probe(self, wanted: requests.Probe) -> dict[str, Any]:
    """The answer, as JSON."""

  def steer(
    self, wanted: requests.Steer
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events, by name, one after another; refuses before the first."""


class ComputeQueue:
  """The one place where something is computed, and those who wait for it.

  Attributes:
    closing: whether nothing more is to begin.
  """

  def __init__(self):
    self.closing = False
    self._pool = concurrent.futures.ThreadPoolExecutor(1, 'compute')
    self._here = 0

  @contextlib.contextmanager
  def seat(self) -> Iterator[None]:
    if self.closing or self._here > WAITING:
      raise Refused(429, 'others wait already; ask again in a second.')
    self._here += 1
    try:
      yield
    finally:
      self._here -= 1

  async def work(self, f: Callable, *args: Any) -> Any:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(self._pool, f, *args)

  def close(self) -> None:
    """Once nobody has a seat any more."""
    self._pool.shutdown(wait=False, cancel_futures=True)


class _Stream(StreamingResponse):
  """Server-sent events of someone with a seat, which is left in any case.

  When the client is gone, no further event is computed.
  """

  def __init__(
    self, queue: ComputeQueue, events: Iterator, seat: contextlib.ExitStack
  ):
    super().__init__(self._lines(queue, events), media_type='text/event-stream')
    self._seat = seat

  async def __call__(self, scope, receive, send) -> None:
    with self._seat:
      await super().__call__(scope, receive, send)

  async def _lines(
    self, queue: ComputeQueue, events: Iterator
  ) -> AsyncIterator[bytes]:
    try:
      while not queue.closing:
        event = await queue.work(next, events, None)
        if event is None:
          return
        name, value = event
        yield b'event: %s\ndata: %s\n\n' % (name.encode(), dump(value))
    except Exception:
      traceback.print_exc()
      yield b'event: error\ndata: %s\n\n' % dump(_FAILED)


def application(
  site: pathlib.Path, engine: Engine, queue: ComputeQueue
) -> Starlette:
  """The application that the token protects."""
  files = StaticFiles(directory=site, follow_symlink=False)
  about = engine.about()
  limits = {
    'text_chars': requests.TEXT_CHARS,
    'text_tokens': requests.TEXT_CONTEXTS * about['context'],
    'pins': requests.PINS,
    'pin_value': requests.PIN_VALUE,
    'tokens': requests.TOKENS,
    'temperature': requests.TEMPERATURE,
    'seed': requests.SEED,
  }
  script = b'monosem.live = %s;\n' % dump(about | {'limits': limits})

  async def index(request: Request) -> Response:
    return await files.get_response('index.html', request.scope)

  async def live(request: Request) -> Response:
    return Response(script, media_type='text/javascript')

  async def ping(request: Request) -> Response:
    return _json({})

  async def probe(request: Request) -> Response:
    wanted = requests.probe(await _body(request))
    with queue.seat():
      return _json(await queue.work(engine.probe, wanted))

  async def steer(request: Request) -> Response:
    wanted = requests.steer(await _body(request))
    with contextlib.ExitStack() as stack:
      stack.enter_context(queue.seat())
      events = await queue.work(engine.steer, wanted)
      return _Stream(queue, events, stack.pop_all())

  async def refused(request: Request, e: Exception) -> Response:
    assert isinstance(e, Refused)
    return _json({'error': str(e)}, e.status)

  async def http_error(request: Request, e: Exception) -> Response:
    assert isinstance(e, HTTPException)
    # A file that may not be read is none, to who asks for it.
    status = e.status_code if e.status_code == 405 else 404
    words = {404: 'not found', 405: 'method not allowed'}
    return _json({'error': words[status]}, status)

  async def failed(request: Request, e: Exception) -> Response:
    return _json(_FAILED, 500)

  api = [
    Route('/ping', ping),
    Route('/probe', probe, methods=['POST']),
    Route('/steer', steer, methods=['POST']),
  ]
  return Starlette(
    routes=[
      Mount('/api', Router(api, redirect_slashes=False)),
      Route('/', index),
      Route('/data/live.js', live),
      Mount('/', files),
    ],
    exception_handlers={
      Refused: refused,
      HTTPException: http_error,
      Exception: failed,
    },
  )


def _json(value: Any, status: int = 200) -> Response:
  return Response(dump(value), status, media_type='application/json')


async def _body(request: Request) -> bytes:
  """The body of a request, unless it is too large or no JSON."""
  kind = request.headers.get('content-type', '').partition(';')[0]
  if kind.strip().lower() != 'application/json':
    raise Refused(415, 'Content-Type: must be application/json.')
  too_large = Refused(
    413, f'the body has more than {requests.BODY_BYTES:,} bytes.'
  )
  length = request.headers.get('content-length', '0')
  # A length of many digits is too large, too.
  if len(length) > 9 or int(length) > requests.BODY_BYTES:
    raise too_large
  body = b''
  try:
    async for part in request.stream():
      body += part
      if len(body) > requests.BODY_BYTES:
        raise too_large
  except ClientDisconnect:
    raise Refused(400, 'the body broke off.') from None
  return body
