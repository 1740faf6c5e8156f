"""A server around an engine that computes nothing, and requests to it."""

import contextlib
import http.client
import json
import pathlib
import re
import threading
import time

from monosem_jax.site.server import requests, serving

POLICY = "default-src 'none'; script-src 'self'; img-src data:"
PAGE = (
  '<meta http-equiv="Content-Security-Policy" '
  f'content="{POLICY}"><script src="data/live.js"></script>'
)
SECRET = 'what lies outside'
JSON = {'Content-Type': 'application/json'}
PROBE = b'{"key": "A1", "text": "ab"}'


class Engine:
  """Counts what it is asked, waits where it is told to."""

  def __init__(self):
    self.go = threading.Event()
    self.go.set()
    self.asked, self.steps, self.pause = [], 0, 0.0

  def about(self):
    runs = [{'key': 'A1', 'run': 'A/1', 'model': 'A', 'features': 48}]
    return {'version': '1', 'runs': runs, 'context': 16}

  def probe(self, wanted):
    self.go.wait()
    self.asked.append(wanted)
    if wanted.text == 'fail':
      raise OSError(f'{pathlib.Path(__file__)} cannot be read')
    if wanted.key != 'A1':
      raise requests.Refused(400, 'key: no such dictionary.')
    return {'tokens': [len(wanted.text)]}

  def steer(self, wanted):
    self.go.wait()
    self.asked.append(wanted)
    if wanted.prompt == 'no':
      raise requests.Refused(400, 'pins: no.')

    def events():
      for i in range(wanted.tokens):
        time.sleep(self.pause)
        self.steps += 1
        if wanted.prompt == 'fail' and i == 2:
          raise OSError(f'{pathlib.Path(__file__)} cannot be read')
        yield 'token', {'i': i, 'string': '</script>\u2028'}
      yield 'done', {'seconds': 0.0}

    return events()


def site_of(parent: pathlib.Path) -> pathlib.Path:
  folder = parent / 'run' / 'site'
  for name, text in {
    'index.html': PAGE,
    'static/page.js': 'monosem = {};',
    'data/live.js': 'monosem.live = null;',
  }.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
  (parent / 'run' / 'secret.js').write_text(SECRET)
  (folder / 'link.js').symlink_to(parent / 'run' / 'secret.js')
  (folder / 'linked').symlink_to(parent / 'run')
  return folder


@contextlib.contextmanager
def alive_with(site, engine, suffixes=()):
  found = serving.start(site, engine, serving.listen(0), suffixes)
  try:
    yield found
  finally:
    found.close()


def ask(alive, method, path, body=None, headers=None, token=None):
  """A request as it is written: nothing is put in order on the way."""
  connection = http.client.HTTPConnection('127.0.0.1', alive.port, timeout=20)
  with contextlib.closing(connection):
    path = (alive.path if token is None else token) + path
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def post(alive, what, body, **headers):
  return ask(alive, 'POST', f'api/{what}', body, JSON | headers)


def error(answer) -> str:
  """What an error says: one line, and nothing of this machine."""
  said = json.loads(answer[2])
  assert list(said) == ['error'], said
  assert '\n' not in said['error']
  leak = re.search(r'Traceback|\.py|tmp|(?<!\w)/\w', said['error'])
  assert not leak, said
  return said['error']


def probe_of(**fields):
  return json.dumps({'key': 'A1', 'text': 'a'} | fields).encode()


def steer_of(**fields):
  return json.dumps({'prompt': 'a'} | fields).encode()


def pin_of(**fields):
  pin = {'feature': 'A/1/3', 'value': 1, 'unit': 'max'} | fields
  return steer_of(pins=[pin])


def events(body: bytes) -> list[tuple[str, dict]]:
  """Server-sent events, by their standard."""
  found = []
  for block in body.decode('ascii').split('\n\n')[:-1]:
    name, data = block.split('\n')
    found.append((name.removeprefix('event: '), data.removeprefix('data: ')))
  return [(name, json.loads(data)) for name, data in found]
