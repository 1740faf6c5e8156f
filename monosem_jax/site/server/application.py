"""The ASGI application that serves the page and computes what it asks for.

  GET  /TOKEN/...            the files of the site
  GET  /TOKEN/data/live.js   tells the page that there is a server, its limits
  GET  /TOKEN/api/ping       {}
  POST /TOKEN/api/probe      takes a text, returns the features of each token
  POST /TOKEN/api/steer      takes a prompt and pins, streams two continuations,
                             pinned and not, as server-sent events

Requests are JSON, see `requests`. An error is `{"error": "one line"}`. One
thread computes all answers, in the order of the requests. Between two events of
a stream, it computes what others wait for.
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

# Requests that may wait while another is computed.
WAITING = 8
_FAILED = {'error': 'the server failed; its terminal says why.'}


class Engine(Protocol):
  """Computes the answers. Raises `Refused` for requests it cannot answer."""

  def about(self) -> dict[str, Any]:
    """`version`, `runs` (`key`, `run`, `model`, `features`), `context`."""

  def probe(self, wanted: requests.Probe) -> dict[str, Any]:
    """Returns the answer, to be sent as JSON."""

  def steer(
    self, wanted: requests.Steer
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Returns events, a name and a JSON value each.

    Raises:
      Refused: the request cannot be answered; never after this returns.
    """


class ComputeQueue:
  """A thread that computes, and a bounded number of requests waiting for it.

  Attributes:
    closing: whether the server is shutting down and takes no more requests.
  """

  def __init__(self):
    self.closing = False
    self._pool = concurrent.futures.ThreadPoolExecutor(1, 'compute')
    self._taken = 0

  @contextlib.contextmanager
  def place(self) -> Iterator[None]:
    """Holds a place in the queue while a request is answered.

    Raises:
      Refused: all places are taken, or the server is shutting down.
    """
    if self.closing or self._taken > WAITING:
      raise Refused(429, 'the server is busy; ask again in a second.')
    self._taken += 1
    try:
      yield
    finally:
      self._taken -= 1

  async def work(self, f: Callable, *args: Any) -> Any:
    """Calls f in the thread, after what was submitted before."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(self._pool, f, *args)

  def close(self) -> None:
    """Ends the thread, once no request holds a place."""
    self._pool.shutdown(wait=False, cancel_futures=True)


class _Stream(StreamingResponse):
  """Server-sent events of a request, whose place is given up at their end.

  When the client is gone, no further event is computed.
  """

  def __init__(
    self, queue: ComputeQueue, events: Iterator, place: contextlib.ExitStack
  ):
    super().__init__(self._lines(queue, events), media_type='text/event-stream')
    self._place = place

  async def __call__(self, scope, receive, send) -> None:
    with self._place:
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
  """The application, without the checks of `guard`.

  Args:
    site: the folder of the page.
    engine: computes the answers.
    queue: where it computes them.
  """
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
    with queue.place():
      return _json(await queue.work(engine.probe, wanted))

  async def steer(request: Request) -> Response:
    wanted = requests.steer(await _body(request))
    with contextlib.ExitStack() as stack:
      stack.enter_context(queue.place())
      events = await queue.work(engine.steer, wanted)
      return _Stream(queue, events, stack.pop_all())

  async def refused(request: Request, e: Exception) -> Response:
    assert isinstance(e, Refused)
    return _json({'error': str(e)}, e.status)

  async def http_error(request: Request, e: Exception) -> Response:
    assert isinstance(e, HTTPException)
    # 404 also for files that exist but may not be read.
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
  """The body of a request.

  Raises:
    Refused: it is too large, incomplete, or not declared as JSON.
  """
  kind = request.headers.get('content-type', '').partition(';')[0]
  if kind.strip().lower() != 'application/json':
    raise Refused(415, 'Content-Type: must be application/json.')
  too_large = Refused(
    413, f'the body has more than {requests.BODY_BYTES:,} bytes.'
  )
  length = request.headers.get('content-length', '0')
  # More digits than any allowed length has; Python may refuse to parse them.
  if len(length) > 9 or int(length) > requests.BODY_BYTES:
    raise too_large
  body = b''
  try:
    async for part in request.stream():
      body += part
      if len(body) > requests.BODY_BYTES:
        raise too_large
  except ClientDisconnect:
    raise Refused(400, 'the body is incomplete.') from None
  return body
