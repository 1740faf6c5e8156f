"""The server as its neighbours on this machine meet it: a real one, asked by
sockets, around an engine that computes nothing."""

import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import re
import signal
import socket
import threading
import time

import pytest

from monosem_jax.config.errors import UserError
from monosem_jax.features.pin import Pin
from monosem_jax.site.server import application, guard, requests, serving

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


@pytest.fixture
def engine():
  found = Engine()
  yield found
  found.go.set()


def _site(parent: pathlib.Path) -> pathlib.Path:
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


@pytest.fixture
def site(tmp_path):
  return _site(tmp_path)


@pytest.fixture
def alive(site, engine):
  with _alive(site, engine) as found:
    yield found


@contextlib.contextmanager
def _alive(site, engine, suffixes=()):
  found = serving.start(site, engine, serving.listen(0), suffixes)
  try:
    yield found
  finally:
    found.close()


@pytest.fixture(scope='module')
def patient(tmp_path_factory):
  """A server that may be asked as often as one likes."""
  site = _site(tmp_path_factory.mktemp('patient'))
  with contextlib.ExitStack() as stack:
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(guard, 'BURST', 1_000)
      alive = stack.enter_context(_alive(site, Engine()))
    yield alive


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


def test_the_page_is_behind_the_token(alive):
  status, headers, body = ask(alive, 'GET', '')
  assert (status, body.decode()) == (200, PAGE)
  assert headers['content-type'].startswith('text/html')
  status, headers, body = ask(alive, 'GET', 'static/page.js')
  assert (status, body) == (200, b'monosem = {};')
  assert headers['content-type'].startswith('text/javascript')
  assert ask(alive, 'GET', 'api/ping')[::2] == (200, b'{}')
  assert len(alive.path) > 30


def test_whoever_does_not_know_the_token_learns_nothing(alive):
  token = alive.path.strip('/')
  for path in (
    *('/', '//', '', '/index.html', '/api/ping', f'/{token[:-1]}/', '/%00/'),
    *(f'/{token}x/', f'/{token.swapcase()}/', f'//{token}/', f'/x/{token}/'),
    *(f'/{token}', f'/?{token}/', '/%F0%9F%98%80/', f'/{token}%2findex.htm'),
  ):
    status, headers, body = ask(alive, 'GET', path or '/', token='')
    assert (status, body) == (404, b'{"error":"not found"}'), path
    assert headers['content-type'] == 'application/json'
    assert token not in str(headers)
  status, *_ = ask(alive, 'POST', '/api/probe', PROBE, JSON, token='/wrong')
  assert status == 404


def test_no_name_but_its_own_reaches_it(alive):
  port = alive.port
  for host, status in {
    f'127.0.0.1:{port}': 200,
    f'localhost:{port}': 200,
    f'LOCALHOST:{port}': 200,
    'localhost': 403,
    f'evil.example:{port}': 403,
    f'127.0.0.1.evil.example:{port}': 403,
    f'127.0.0.1:{port + 1}': 403,
    f'x.googleusercontent.com:{port}': 403,
    '': 403,
  }.items():
    answer = ask(alive, 'GET', 'api/ping', headers={'Host': host})
    assert answer[0] == status, host
    if status == 403:
      assert error(answer) == 'another host'
  with socket.create_connection(('127.0.0.1', port)) as plain:
    plain.sendall(f'GET {alive.path} HTTP/1.0\r\n\r\n'.encode())
    assert plain.recv(99).startswith(b'HTTP/1.1 403')


def test_pages_from_elsewhere_may_not_ask(alive, engine):
  port = alive.port
  for origin, status in {
    f'http://127.0.0.1:{port}': 200,
    f'http://localhost:{port}': 200,
    f'https://127.0.0.1:{port}': 403,
    f'http://127.0.0.1:{port + 1}': 403,
    f'http://user@127.0.0.1:{port}': 403,
    'http://127.0.0.1': 403,
    'http://evil.example': 403,
    'https://x.googleusercontent.com': 403,
    'http://[': 403,
    'null': 403,
    '': 403,
  }.items():
    engine.asked.clear()
    answer = post(alive, 'probe', PROBE, Origin=origin)
    assert answer[0] == status, origin
    assert len(engine.asked) == (status == 200)
    assert not [n for n in answer[1] if n.lower().startswith('access-control')]
  preflight = {'Origin': 'http://evil.example'} | {
    'Access-Control-Request-Method': 'POST'
  }
  answer = ask(alive, 'OPTIONS', 'api/probe', headers=preflight)
  assert answer[0] == 403
  assert not [n for n in answer[1] if n.lower().startswith('access-control')]


def test_a_proxy_is_known_by_the_end_of_its_name(site, engine):
  with _alive(site, engine, ('.googleusercontent.com',)) as alive:
    for name, status in {
      'x-colab.googleusercontent.com': 200,
      'googleusercontent.com': 403,
      'evilgoogleusercontent.com': 403,
      'x.googleusercontent.com.evil.example': 403,
    }.items():
      answer = ask(alive, 'GET', 'api/ping', headers={'Host': name})
      assert answer[0] == status, name
      answer = post(alive, 'probe', PROBE, Origin=f'https://{name}')
      assert answer[0] == status, name
    answer = post(
      alive, 'probe', PROBE, Origin='http://x.googleusercontent.com'
    )
    assert answer[0] == 403


def test_every_answer_says_what_a_browser_may_do_with_it(alive):
  for answer in (
    ask(alive, 'GET', ''),
    ask(alive, 'GET', 'data/live.js'),
    ask(alive, 'GET', 'nothing'),
    ask(alive, 'GET', '/wrong/', token=''),
    ask(alive, 'GET', 'api/ping', headers={'Host': 'evil.example'}),
    post(alive, 'probe', PROBE),
    post(alive, 'probe', b'{'),
    post(alive, 'probe', b'{"key": "A1", "text": "fail"}'),
    post(alive, 'steer', b'{"prompt": "a"}'),
  ):
    headers = {k.lower(): v for k, v in answer[1].items()}
    assert headers['content-security-policy'] == (
      f"{POLICY}; connect-src 'self'"
    )
    assert headers['cache-control'] == 'no-store'
    assert headers['referrer-policy'] == 'no-referrer'
    assert headers['x-content-type-options'] == 'nosniff'
    assert 'server' not in headers


def test_a_policy_is_the_page_s_own_with_requests_to_the_server():
  own = serving.policy(
    '<meta http-equiv="Content-Security-Policy"\n '
    'content="default-src \'none\'; connect-src https://x; img-src data:;">'
  )
  assert own == "default-src 'none'; img-src data:; connect-src 'self'"
  assert serving.policy('<p>').startswith("default-src 'none'; ")


def test_the_page_is_told_that_there_is_a_server(alive):
  status, headers, body = ask(alive, 'GET', 'data/live.js')
  said = body.decode('ascii')
  assert status == 200 and headers['content-type'].startswith('text/javascript')
  assert said.startswith('monosem.live = {') and said.endswith('};\n')
  live = json.loads(said.removeprefix('monosem.live = ').removesuffix(';\n'))
  assert live['runs'] == [
    {'key': 'A1', 'run': 'A/1', 'model': 'A', 'features': 48}
  ]
  assert (live['version'], live['context']) == ('1', 16)
  assert (
    live['limits'] | {'text_tokens': 128, 'pins': 16, 'tokens': 256}
    == (live['limits'])
  )


def test_files_outside_of_the_site_stay_where_they_are(alive, site):
  outside = str(site.parent / 'secret.js')
  for path in (
    *('../secret.js', '..%2fsecret.js', '%2e%2e/secret.js', 'static/../../x'),
    *('static/..%2f..%2fsecret.js', '..%5csecret.js', '%2e%2e%2fsecret.js'),
    *(outside, outside.replace('/', '%2f'), f'/{outside}', '/etc/passwd'),
    *('link.js', 'linked/secret.js', 'linked', 'static', 'static/', '..'),
    *('static/page.js%00', '%00', 'x' * 3_000, '%ff%fe'),
    *('../run/secret.js', './../secret.js', '....//secret.js', '~/.bashrc'),
  ):
    answer = ask(alive, 'GET', path)
    assert answer[0] == 404, path
    assert error(answer) == 'not found'
    assert SECRET.encode() not in answer[2]


def test_what_is_not_allowed_is_said_by_method(alive):
  for method, path in (
    *(('GET', 'api/probe'), ('PUT', 'api/probe'), ('GET', 'api/steer')),
    *(('POST', 'api/ping'), ('POST', ''), ('DELETE', 'static/page.js')),
  ):
    answer = ask(alive, method, path)
    assert (answer[0], error(answer)) == (405, 'method not allowed'), path
  for path in ('api/', 'api', 'api/ping/', 'api/x', 'api/probe/'):
    answer = ask(alive, 'GET', path)
    assert (answer[0], error(answer)) == (404, 'not found'), path


def test_only_json_is_read(alive, engine):
  for kind in (
    *('text/plain', 'application/x-www-form-urlencoded', '', 'json'),
    *('multipart/form-data; boundary=application/json', 'application/jsonx'),
  ):
    answer = post(alive, 'probe', PROBE, **{'Content-Type': kind})
    assert answer[0] == 415 and 'application/json' in error(answer)
  assert not engine.asked
  kind = 'Application/JSON; charset=utf-8'
  assert post(alive, 'probe', PROBE, **{'Content-Type': kind})[0] == 200


def test_a_body_that_is_too_large_is_not_read_to_its_end(alive, engine):
  head = (
    f'POST {alive.path}api/probe HTTP/1.1\r\nHost: 127.0.0.1:{alive.port}\r\n'
    'Content-Type: application/json\r\n'
  )
  for length in ('65537', '999999999', '9' * 19):
    with socket.create_connection(('127.0.0.1', alive.port)) as plain:
      plain.settimeout(10)
      plain.sendall(f'{head}Content-Length: {length}\r\n\r\n'.encode())
      assert plain.recv(999).startswith(b'HTTP/1.1 413')
  # Without a length: no more is taken than fits on the way.
  with socket.create_connection(('127.0.0.1', alive.port)) as plain:
    plain.settimeout(10)
    plain.sendall(f'{head}Transfer-Encoding: chunked\r\n\r\n'.encode())
    chunk, sent = b'1000\r\n' + b' ' * 4_096 + b'\r\n', 0
    with contextlib.suppress(OSError):
      while sent < 64 * 2**20:
        plain.sendall(chunk)
        sent += 4_096
        plain.setblocking(False)
        with contextlib.suppress(BlockingIOError):
          if plain.recv(999, socket.MSG_PEEK):
            break
        plain.settimeout(10)
    assert sent < 64 * 2**20
  fits = b'{"key": "A1", "text": "' + b'a' * 9_000 + b'"}'
  assert post(alive, 'probe', fits + b' ' * (65_536 - len(fits)))[0] == 200
  answer = post(alive, 'probe', fits + b' ' * (65_537 - len(fits)))
  assert answer[0] == 413 and '65,536 bytes' in error(answer)
  assert len(engine.asked) == 1


def probe_of(**fields):
  return json.dumps({'key': 'A1', 'text': 'a'} | fields).encode()


def steer_of(**fields):
  return json.dumps({'prompt': 'a'} | fields).encode()


def pin_of(**fields):
  pin = {'feature': 'A/1/3', 'value': 1, 'unit': 'max'} | fields
  return steer_of(pins=[pin])


@pytest.mark.parametrize(
  ('what', 'body', 'said'),
  [
    ('probe', b'', 'not JSON'),
    ('probe', b'{', 'not JSON'),
    ('probe', b'{"key": "A1", "text": "\xff"}', 'not JSON in UTF-8'),
    ('probe', PROBE.decode().encode('utf-16'), 'not JSON in UTF-8'),
    ('probe', b'[' * 60_000, 'not JSON'),
    ('probe', b'{"a":' * 10_000, 'not JSON'),
    ('probe', b'{"key": NaN}', 'not JSON'),
    ('probe', b'9' * 6_000, 'not JSON'),
    ('probe', b'[]', 'the body must be a JSON object'),
    ('probe', b'"A1"', 'the body must be a JSON object'),
    ('probe', b'null', 'the body must be a JSON object'),
    ('probe', b'{}', 'key: must be a string'),
    ('probe', probe_of(text=None), 'text: must be a string'),
    ('probe', probe_of(text=['a']), 'text: must be a string'),
    ('probe', probe_of(key=1), 'key: must be a string'),
    ('probe', probe_of(key='B1'), 'no such dictionary'),
    ('probe', probe_of(more=1), 'fields beside key, text'),
    ('probe', probe_of(text='a' * 16_001), 'text: has 16,001 characters'),
    ('probe', probe_of(text='a\ud800'), 'text: is not Unicode'),
    ('probe', probe_of(text='\udc00\ud800'), 'text: is not Unicode'),
    ('probe', probe_of(key='\ud800'), 'key: is not Unicode'),
    ('steer', b'{}', 'prompt: must be a string'),
    ('steer', steer_of(prompt='no'), 'pins: no.'),
    ('steer', steer_of(prompt='\udfff'), 'prompt: is not Unicode'),
    ('steer', steer_of(pins={}), 'pins: must be a list'),
    ('steer', steer_of(pins=[{}] * 17), 'at most 16'),
    ('steer', steer_of(pins=[None]), 'a pin must be a JSON object'),
    ('steer', steer_of(pins=[{}]), 'feature: must be a string'),
    ('steer', pin_of(feature=3), 'feature: must be a string'),
    ('steer', pin_of(feature='3'), 'feature: must be RUN'),
    ('steer', pin_of(feature='A/1/-3'), 'feature: must be RUN'),
    ('steer', pin_of(feature='A/1/3.0'), 'feature: must be RUN'),
    ('steer', pin_of(feature='A/1/٣'), 'feature: must be RUN'),
    ('steer', pin_of(feature='A/1/' + '9' * 10), 'feature: must be RUN'),
    ('steer', pin_of(unit='sd'), 'unit: must be'),
    ('steer', pin_of(unit=None), 'unit: must be'),
    ('steer', pin_of(unit=['max']), 'unit: must be'),
    ('steer', pin_of(value='1'), 'value: must be a number'),
    ('steer', pin_of(value=None), 'value: must be a number'),
    ('steer', pin_of(value=True), 'value: must be a number'),
    ('steer', pin_of(value=float('nan')), 'not JSON'),
    ('steer', pin_of(value=float('-inf')), 'not JSON'),
    ('steer', pin_of(value=10**400), 'value: must be a number'),
    ('steer', pin_of(value=2e6), 'value: must be a number, -1e+06 to 1e+06'),
    (
      'steer',
      pin_of().replace(b'"value": 1', b'"value": 1e999'),
      'value: must be a number',
    ),
    ('steer', pin_of(more=1), 'a pin has fields beside'),
    (
      'steer',
      steer_of(pins=2 * [json.loads(pin_of())['pins'][0]]),
      'pinned twice',
    ),
    ('steer', steer_of(tokens=0), 'tokens: must be a whole number, 1 to 256'),
    ('steer', steer_of(tokens=257), 'tokens: must be'),
    ('steer', steer_of(tokens=3.0), 'tokens: must be'),
    ('steer', steer_of(tokens=True), 'tokens: must be'),
    ('steer', steer_of(tokens=None), 'tokens: must be'),
    ('steer', steer_of(top_k=-1), 'top_k: must be'),
    ('steer', steer_of(top_k=10**30), 'top_k: must be'),
    ('steer', steer_of(seed=2**32), 'seed: must be'),
    ('steer', steer_of(seed='0'), 'seed: must be'),
    ('steer', steer_of(temperature=-0.1), 'temperature: must be'),
    ('steer', steer_of(temperature=1e3), 'temperature: must be'),
    ('steer', steer_of(temperature=[1]), 'temperature: must be'),
    ('steer', steer_of(model='A'), 'fields beside'),
  ],
)
def test_what_cannot_be_is_named(patient, what, body, said):
  answer = post(patient, what, body)
  assert answer[0] == 400, answer
  assert said in error(answer)


def test_what_may_be_reaches_the_engine_as_it_was_meant(alive, engine):
  assert post(alive, 'probe', probe_of(text='é\0\U0001f600'))[0] == 200
  assert engine.asked.pop() == requests.Probe('A1', 'é\0\U0001f600')
  pins = [
    {'feature': 'A/neurons/0', 'value': -1.5, 'unit': 'activation'},
    {'feature': 'A/1/47', 'value': 2, 'unit': 'max'},
  ]
  body = steer_of(
    pins=pins, key='A1', tokens=2, temperature=0, top_k=5, seed=2**32 - 1
  )
  assert post(alive, 'steer', body)[0] == 200
  assert engine.asked.pop() == requests.Steer(
    key='A1',
    pins=(
      Pin('A/neurons', 0, -1.5, of_max=False),
      Pin('A/1', 47, 2.0, of_max=True),
    ),
    prompt='a',
    tokens=2,
    temperature=0.0,
    top_k=5,
    seed=2**32 - 1,
  )
  assert post(alive, 'steer', b'{"prompt": ""}')[0] == 200
  assert engine.asked.pop() == requests.Steer(None, (), '', 64, 1.0, 0, 0)


def events(body: bytes) -> list[tuple[str, dict]]:
  """Server-sent events, by their standard."""
  found = []
  for block in body.decode('ascii').split('\n\n')[:-1]:
    name, data = block.split('\n')
    found.append((name.removeprefix('event: '), data.removeprefix('data: ')))
  return [(name, json.loads(data)) for name, data in found]


def test_a_stream_comes_in_order_and_ends(alive):
  status, headers, body = post(alive, 'steer', steer_of(tokens=5))
  assert status == 200
  assert headers['content-type'].startswith('text/event-stream')
  found = events(body)
  assert [name for name, _ in found] == ['token'] * 5 + ['done']
  assert [e['i'] for _, e in found[:5]] == [0, 1, 2, 3, 4]
  assert found[0][1]['string'] == '</script>\u2028'


def test_events_come_as_they_are_made(alive, engine):
  engine.pause = 0.2
  connection = http.client.HTTPConnection('127.0.0.1', alive.port, timeout=20)
  with contextlib.closing(connection):
    path = f'{alive.path}api/steer'
    connection.request('POST', path, steer_of(tokens=20), JSON)
    answer = connection.getresponse()
    assert answer.readline() == b'event: token\n'
    assert engine.steps < 10


def test_who_goes_stops_what_was_computed_for_them(alive, engine):
  engine.pause = 0.02
  connection = http.client.HTTPConnection('127.0.0.1', alive.port, timeout=20)
  path = f'{alive.path}api/steer'
  connection.request('POST', path, steer_of(tokens=256), JSON)
  answer = connection.getresponse()
  for _ in range(3):
    assert answer.readline().startswith(b'event: token')
    answer.readline(), answer.readline()
  answer.close()
  connection.close()
  time.sleep(0.5)
  steps = engine.steps
  assert 3 <= steps < 100
  time.sleep(0.5)
  assert engine.steps == steps
  # And their seats are free again.
  for _ in range(2 * application.WAITING):
    engine.pause = 0.0
    assert post(alive, 'steer', steer_of(tokens=1))[0] == 200


def test_others_are_answered_amid_a_stream(alive, engine):
  engine.pause = 0.05
  with concurrent.futures.ThreadPoolExecutor() as pool:
    stream = pool.submit(post, alive, 'steer', steer_of(tokens=60))
    while not engine.steps:
      time.sleep(0.01)
    assert post(alive, 'probe', PROBE)[0] == 200
    assert not stream.done()
    assert len(events(stream.result()[2])) == 61


def test_only_so_many_wait(alive, engine):
  engine.go.clear()
  most = application.WAITING + 1
  with concurrent.futures.ThreadPoolExecutor(20) as pool:
    waiting = [pool.submit(post, alive, 'probe', PROBE) for _ in range(most)]
    until = time.monotonic() + 10
    while ask(alive, 'GET', 'api/ping')[0] != 200:
      assert time.monotonic() < until
    time.sleep(0.5)
    for what, body in (('probe', PROBE), ('steer', steer_of())):
      answer = post(alive, what, body)
      assert answer[0] == 429 and 'others wait' in error(answer)
    assert not any(f.done() for f in waiting)
    # The loop is free all the while.
    assert ask(alive, 'GET', 'static/page.js')[0] == 200
    engine.go.set()
    assert [f.result()[0] for f in waiting] == [200] * most
  assert post(alive, 'probe', PROBE)[0] == 200


def test_two_hundred_at_once_are_answered_or_sent_away(alive, engine):
  with concurrent.futures.ThreadPoolExecutor(200) as pool:
    many = [pool.submit(post, alive, 'probe', PROBE) for _ in range(200)]
    answers = [f.result() for f in many]
  found = [a[0] for a in answers]
  assert set(found) == {200, 429}
  assert found.count(200) == len(engine.asked)
  assert all(error(a) for a in answers if a[0] == 429)
  time.sleep(0.3)
  assert post(alive, 'probe', PROBE)[0] == 200


def test_the_bucket_fills_with_time():
  now, passed = [0.0], []

  async def app(scope, receive, send):
    passed.append(scope['path'])

  async def send(message):
    pass

  own = guard.Guard(app, token='t', port=1, policy='', clock=lambda: now[0])

  def many(n, path):
    passed.clear()
    for _ in range(n):
      scope = {'type': 'http', 'method': 'GET', 'path': f'/t/{path}'}
      scope['headers'] = [(b'host', b'localhost:1')]
      with contextlib.suppress(StopIteration):
        own(scope, None, send).send(None)
    return len(passed)

  assert many(100, 'api/ping') == guard.BURST
  now[0] += 0.5
  assert many(100, 'api/ping') == guard.RATE // 2
  # The page itself is not counted, and an hour saves up no more.
  assert many(100, 'static/page.js') == 100
  now[0] += 3_600
  assert many(100, 'api/ping') == guard.BURST
  assert set(passed) == {'/api/ping'}


def test_what_fails_says_so_on_the_terminal_alone(alive, capfd, caplog):
  answer = post(alive, 'probe', probe_of(text='fail'))
  assert (answer[0], error(answer)) == (
    500,
    'the server failed; its terminal says why.',
  )
  found = events(post(alive, 'steer', steer_of(prompt='fail'))[2])
  assert [name for name, _ in found] == ['token', 'token', 'error']
  assert found[2][1] == {'error': 'the server failed; its terminal says why.'}
  said = capfd.readouterr().err + caplog.text
  assert said.count('OSError: ') == 2
  assert post(alive, 'probe', PROBE)[0] == 200


def test_it_ends_amid_a_stream(site, engine):
  engine.pause = 0.05
  alive = serving.start(site, engine, serving.listen(0))
  with concurrent.futures.ThreadPoolExecutor() as pool:
    stream = pool.submit(post, alive, 'steer', steer_of(tokens=256))
    while not engine.steps:
      time.sleep(0.01)
    start = time.monotonic()
    alive.close()
    assert time.monotonic() - start < 2
    assert len(events(stream.result()[2])) < 100
  with pytest.raises(OSError):
    ask(alive, 'GET', '')


def test_after_a_signal_it_is_closed_only_once_it_has_ended(site, engine):
  """A thread that outlived its program would have C++ abort it."""

  def interrupt(signum, frame):
    raise KeyboardInterrupt

  before = signal.signal(signal.SIGALRM, interrupt)
  alive = serving.start(site, engine, serving.listen(0))
  try:
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    with pytest.raises(KeyboardInterrupt):
      alive.wait()
    assert ask(alive, 'GET', 'index.html')[0] == 200
  finally:
    signal.signal(signal.SIGALRM, before)
    alive.close()
  with pytest.raises(OSError):
    ask(alive, 'GET', '')


def test_it_listens_on_this_machine_alone_where_it_is_told(alive):
  with pytest.raises(UserError, match=f'--port={alive.port}: is not free'):
    serving.listen(alive.port)
  with serving.listen(0) as listener:
    assert listener.getsockname()[0] == '127.0.0.1'
