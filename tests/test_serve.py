"""The server as its neighbours on this machine meet it: who may ask what."""

import contextlib
import json
import socket

import pytest
from asked import (
  JSON,
  PAGE,
  POLICY,
  PROBE,
  SECRET,
  Engine,
  alive_with,
  ask,
  error,
  post,
  site_of,
)

from monosem_jax.site.server import serving


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
      assert error(answer) == 'wrong host'
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
  with alive_with(site, engine, ('.googleusercontent.com',)) as alive:
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
