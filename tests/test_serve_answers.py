"""The server's answers: what it names, streams, sends away, and how it ends."""

import concurrent.futures
import contextlib
import http.client
import json
import signal
import time

import pytest
from asked import (
  JSON,
  PROBE,
  Engine,
  alive_with,
  ask,
  error,
  events,
  pin_of,
  post,
  probe_of,
  site_of,
  steer_of,
)

from monosem_jax.config.errors import UserError
from monosem_jax.features.pin import Pin
from monosem_jax.site.server import application, guard, requests, serving


@pytest.fixture
def engine():
  found = Engine()
  yield found
  found.go.set()


@pytest.fixture
def site(tmp_path):
  return site_of(tmp_path)


@pytest.fixture
def alive(site, engine):
  with alive_with(site, engine) as found:
    yield found


@pytest.fixture(scope='module')
def patient(tmp_path_factory):
  """A server that may be asked as often as one likes."""
  site = site_of(tmp_path_factory.mktemp('patient'))
  with contextlib.ExitStack() as stack:
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(guard, 'BURST', 1_000)
      alive = stack.enter_context(alive_with(site, Engine()))
    yield alive


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
    ('probe', probe_of(more=1), 'may only have the fields key, text.'),
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
    ('steer', pin_of(feature='3'), 'feature: must be NAME'),
    ('steer', pin_of(feature='A/1/-3'), 'feature: must be NAME'),
    ('steer', pin_of(feature='A/1/3.0'), 'feature: must be NAME'),
    ('steer', pin_of(feature='A/1/٣'), 'feature: must be NAME'),
    ('steer', pin_of(feature='A/1/' + '9' * 10), 'feature: must be NAME'),
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
    ('steer', pin_of(more=1), 'a pin may only have the fields'),
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
    ('steer', steer_of(model='A'), 'may only have the fields'),
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
      assert answer[0] == 429 and 'busy' in error(answer)
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
