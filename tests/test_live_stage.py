"""The stage `serve` as a process and in a notebook, and how it ends."""

import contextlib
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from unittest import mock

import program
import pytest

from monosem_jax.stages import notebook


@contextlib.contextmanager
def _process(workdir, *more):
  """The stage in a process, and the address it prints."""
  process = subprocess.Popen(
    program.command('serve', workdir, '--port=0', *more),
    env=program.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  with process:
    try:
      said = ''
      while 'Ctrl-C' not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
      yield process, re.search(r'http://127\.0\.0\.1:(\d+)(/\S+/)', said)
    finally:
      process.kill()


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_the_stage_serves_until_a_signal(signum, tmp_path):
  before = program.files(program.finished())
  with _process(program.finished()) as (process, url):
    connection = http.client.HTTPConnection('127.0.0.1', int(url[1]))
    with contextlib.closing(connection):
      ask = lambda *a: (connection.request(*a), connection.getresponse())[1]
      answer = ask('GET', url[2])
      page = (program.finished() / 'site' / 'index.html').read_bytes()
      assert (answer.status, answer.read()) == (200, page)
      answer = ask('GET', f'{url[2]}data/live.js')
      assert b'"key":"A1","run":"A/1"' in answer.read()
      body = json.dumps({'key': 'A1', 'text': 'ab cd'})
      kind = {'Content-Type': 'application/json'}
      answer = ask('POST', f'{url[2]}api/probe', body, kind)
      assert json.loads(answer.read())['strings']
      # Amid a stream, too.
      body = json.dumps({'prompt': 'ab', 'tokens': 256})
      ask('POST', f'{url[2]}api/steer', body, kind).readline()
      start = time.monotonic()
      process.send_signal(signum)
      assert process.wait(timeout=20) == 128 + signum
      assert time.monotonic() - start < 5
    said = process.stdout.read()
    assert 'Stopped.' in said and 'Traceback' not in said
  assert program.files(program.finished()) == before


def refusal(workdir, *more: str) -> str:
  return program.refusal(
    'serve', f'--config={program.config()}', f'--workdir={workdir}', *more
  )


def test_what_is_missing_is_said(tmp_path):
  shutil.copytree(program.finished(), tmp_path / 'run')
  shutil.rmtree(tmp_path / 'run' / 'site')
  assert 'run the site stage first' in refusal(tmp_path / 'run')
  shutil.copytree(program.finished() / 'site', tmp_path / 'run' / 'site')
  stamp = tmp_path / 'run' / 'features' / 'A1' / 'stamp.json'
  stamp.write_text(stamp.read_text().replace('dictionaries/A1', 'x'))
  assert 'is of another dictionary' in refusal(tmp_path / 'run', '--port=0')
  shutil.rmtree(tmp_path / 'run' / 'features')
  assert 'no feature table' in refusal(tmp_path / 'run', '--port=0')
  find = lambda name: None if name == 'uvicorn' else object()
  with mock.patch('importlib.util.find_spec', find):
    said = refusal(tmp_path / 'run')
  assert 'needs uvicorn: pip install monosem_jax[serve]' in said


def test_a_port_that_cannot_be_is_refused(tmp_path):
  with serve_listener() as port:
    assert f'--port={port}: is not free' in refusal(
      program.finished(), f'--port={port}'
    )
  for port in ('-1', '65536', 'x'):
    assert 'port' in refusal(program.finished(), f'--port={port}')
  said = program.refusal(
    'site',
    f'--config={program.config()}',
    f'--workdir={tmp_path}',
    '--port=1',
  )
  assert '--port is a flag of the stage serve' in said


@contextlib.contextmanager
def serve_listener():
  from monosem_jax.site.server import serving

  with serving.listen(0) as listener:
    yield listener.getsockname()[1]


def test_a_notebook_shows_it_in_a_frame():
  shown = []
  display = types.ModuleType('IPython.display')
  display.IFrame = lambda *args: args
  display.display = shown.append
  modules = {
    'IPython': types.ModuleType('IPython'),
    'IPython.display': display,
    'google.colab': None,
  }
  with mock.patch.dict(sys.modules, modules):
    handle = notebook.show(
      str(program.config()), program.finished(), ['evaluation.contexts=16']
    )
  with contextlib.closing(handle):
    assert shown == [(handle.url, '100%', 800)]
    assert _status(handle) == 200
    assert _status(handle, Host='x.colab.dev') == 403
  with pytest.raises(OSError):
    _status(handle)


def test_colab_shows_it_through_its_proxy():
  shown = []
  output = types.ModuleType('google.colab.output')
  output.serve_kernel_port_as_iframe = lambda *a, **k: shown.append((a, k))
  colab = types.ModuleType('google.colab')
  colab.output = output
  with mock.patch.dict(
    sys.modules, {'google.colab': colab, 'google.colab.output': output}
  ):
    handle = notebook.show(str(program.config()), str(program.finished()))
  with contextlib.closing(handle):
    path = handle.url.partition(f':{handle.port}')[2]
    assert len(path) > 30
    assert shown == [
      ((handle.port,), {'path': path, 'width': '100%', 'height': '800'})
    ]
    assert _status(handle, Host='x-colab.googleusercontent.com') == 200


def _status(handle, **headers) -> int:
  connection = http.client.HTTPConnection('127.0.0.1', handle.port)
  with contextlib.closing(connection):
    path = handle.url.partition(f':{handle.port}')[2]
    connection.request('GET', path, headers=headers)
    return connection.getresponse().status
