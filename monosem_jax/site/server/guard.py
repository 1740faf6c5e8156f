"""Keeps everyone but the server's own pages from using it.

The server listens on 127.0.0.1, which other machines cannot reach. But any web
page that is open in a browser on this machine can send requests there. Four
things keep those pages out:

  the token   the first part of every path, which no other page knows
  the Host    a header that must name this machine, not a domain that somebody
              pointed at 127.0.0.1 (DNS rebinding)
  the Origin  a header that must name the server itself in requests that compute
  no CORS     without its headers no other page can read an answer

A limit on the rate of requests keeps the server usable.
"""

import hmac
import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from monosem_jax.site.server.requests import Refused

# Requests that compute: how many a second, and how many at once.
RATE, BURST = 20, 40
_NOT_FOUND = Refused(404, 'not found')


class Guard:
  """Wraps an ASGI application, which then sees paths without the token."""

  def __init__(
    self,
    app: Callable,
    *,
    token: str,
    port: int,
    policy: str,
    suffixes: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
  ):
    """Args:

    app: answers the requests that are admitted.
    token: the first part of every path.
    port: the port that the server listens on.
    policy: the Content-Security-Policy of all answers.
    suffixes: the ends of host names by which a proxy may reach the server,
      each with its dot: `.googleusercontent.com`.
    clock: returns the time in seconds.
    """
    self.token, self._app = token, app
    self._suffixes = tuple(suffixes)
    self._hosts = tuple(f'{h}:{port}' for h in ('127.0.0.1', 'localhost'))
    # No rule on who may frame the page: a notebook's origin is not known here.
    self._headers = [
      (b'content-security-policy', policy.encode('ascii')),
      (b'cache-control', b'no-store'),
      (b'referrer-policy', b'no-referrer'),
      (b'x-content-type-options', b'nosniff'),
    ]
    self._burst = self._left = float(BURST)
    self._clock, self._since = clock, clock()

  async def __call__(self, scope: dict, receive: Callable, send: Callable):
    own = {name for name, _ in self._headers}

    async def send_marked(message: dict) -> None:
      if message['type'] == 'http.response.start':
        kept = [h for h in message.get('headers', ()) if h[0] not in own]
        message = message | {'headers': [*kept, *self._headers]}
      await send(message)

    try:
      path = self._admit(scope)
    except Refused as e:
      await answer(send_marked, e.status, {'error': str(e)})
    else:
      inside = {k: v for k, v in scope.items() if k != 'raw_path'}
      await self._app(inside | {'path': path}, receive, send_marked)

  def _admit(self, scope: dict) -> str:
    """The path after the token.

    Raises:
      Refused: the request is not from one of the server's own pages, or comes
        too fast.
    """
    token, slash, rest = scope['path'].removeprefix('/').partition('/')
    known = hmac.compare_digest(token.encode('utf-8'), self.token.encode())
    if not (known and slash):
      raise _NOT_FOUND
    headers = dict(scope['headers'])
    host = headers.get(b'host', b'').decode('latin-1')
    if not self._own(host):
      raise Refused(403, 'wrong host')
    if scope['method'] not in ('GET', 'HEAD'):
      origin = headers.get(b'origin')
      if origin is not None and not self._own_origin(origin.decode('latin-1')):
        raise Refused(403, 'wrong origin')
    if rest.startswith('api/') and not self._take():
      raise Refused(429, 'too many requests; ask again in a second.')
    return f'/{rest}'

  def _own(self, host: str) -> bool:
    name = host.partition(':')[0].lower()
    return host.lower() in self._hosts or name.endswith(self._suffixes)

  def _own_origin(self, origin: str) -> bool:
    try:
      parts = urlsplit(origin)
    except ValueError:
      return False
    own = parts.netloc in self._hosts and parts.scheme == 'http'
    name = parts.hostname or ''
    proxied = parts.scheme == 'https' and name.endswith(self._suffixes)
    return own or proxied

  def _take(self) -> bool:
    """Whether the bucket, which refills with time, has room for a request."""
    now = self._clock()
    self._left = min(self._left + RATE * (now - self._since), self._burst)
    self._since = now
    if self._left < 1:
      return False
    self._left -= 1
    return True


def dump(value: Any) -> bytes:
  """JSON in ASCII, which escapes U+2028 and halves of surrogate pairs."""
  return json.dumps(value, allow_nan=False, separators=(',', ':')).encode()


async def answer(send: Callable, status: int, value: Any) -> None:
  """Sends a JSON answer by ASGI messages."""
  body = dump(value)
  headers = [
    (b'content-type', b'application/json'),
    (b'content-length', str(len(body)).encode()),
  ]
  await send(
    {'type': 'http.response.start', 'status': status, 'headers': headers}
  )
  await send({'type': 'http.response.body', 'body': body})
