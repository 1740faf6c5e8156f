"""The exported page is safe to open; a killed export loses nothing."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import program
import pytest
from exhibits import write
from taken_apart import exported

from monosem_jax.config.errors import UserError
from monosem_jax.site import export, shards

STATIC = pathlib.Path(export.__file__).parent / 'static'


@pytest.fixture
def page() -> pathlib.Path:
  return exported()


# --- safety


def test_a_policy_forbids_all_but_the_pages_own_files(page):
  html = (page / 'index.html').read_text('utf-8')
  [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
  directives = dict(part.split(maxsplit=1) for part in policy.split('; '))
  assert directives['default-src'] == "'none'"
  assert directives['script-src'] == directives['style-src'] == "'self'"
  assert directives['connect-src'] == "'self'"
  assert directives['img-src'] == "'self' blob:"
  assert 'unsafe' not in policy
  # Before anything that it should govern.
  assert html.index('Content-Security-Policy') < html.index('<link')


@pytest.mark.parametrize(
  'way',
  [
    r'innerHTML',
    r'outerHTML',
    r'insertAdjacentHTML',
    r'setHTML',
    r'createContextualFragment',
    r'DOMParser',
    r'[.\'"]srcdoc\b',
    r'javascript:',
    r'document\.write',
    r'\beval\(',
    r'\bnew\s+Function\b',
    r'set(?:Timeout|Interval)\(\s*[\'"`]',
    r'setAttribute\(\s*[\'"`]on',
    r'\.on(?:click|error|load)\b\s*=\s*[\'"`]',
    r'\sstyle=',
    r'\son[a-z]+="',
    r'<script(?![^>]*\ssrc=)',
    r'https?://(?!www\.w3\.org/2000/svg)',
  ],
)
def test_static_files_have_no_way_from_data_to_code(way):
  for path in filter(pathlib.Path.is_file, STATIC.rglob('*')):
    assert not re.search(way, path.read_text('utf-8')), path.name


def test_only_two_scripts_speak_to_a_server():
  found = [
    p.name
    for p in STATIC.rglob('*.*')
    if re.search(
      r'\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon',
      p.read_text(),
    )
  ]
  assert set(found) <= {'data.js', 'live.js', 'server.js'}


def test_export_imports_no_jax(tmp_path):
  code = (
    'import pathlib, sys\n'
    'import exhibits\n'
    'exhibits.write(pathlib.Path(sys.argv[1]))\n'
    "assert 'jax' not in sys.modules"
  )
  subprocess.run(
    [sys.executable, '-c', code, tmp_path / 'site'],
    check=True,
    env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
  )


# --- kills


_KILLED = """
import os, pathlib, signal, sys
from monosem_jax.site import shards
import exhibits
shard = shards.shard
def kill_at_the_second_shard(e, lo, hi):
  if lo == 64:
    os.kill(os.getpid(), signal.SIGKILL)
  return shard(e, lo, hi)
shards.shard = kill_at_the_second_shard
exhibits.write(pathlib.Path(sys.argv[1]), ('A1', 'A2'))
"""


def test_a_killed_export_leaves_the_page_before_it(tmp_path):
  directory = tmp_path / 'site'
  write(directory)
  before = program.files(directory)
  killed = subprocess.run(
    [sys.executable, '-c', _KILLED, directory],
    env=os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)},
  )
  assert killed.returncode == -signal.SIGKILL
  assert program.files(directory) == before
  write(directory)
  assert program.files(directory) == before
  assert os.listdir(tmp_path) == ['site']


def test_a_failed_export_leaves_nothing_but_the_page(tmp_path, monkeypatch):
  directory = tmp_path / 'site'
  write(directory)
  before = program.files(directory)

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(pathlib.Path, 'write_bytes', full)
  with pytest.raises(UserError, match='disk full'):
    write(directory)
  assert program.files(directory) == before
  assert os.listdir(tmp_path) == ['site']


def test_a_kill_between_the_renames_loses_nothing(tmp_path, monkeypatch):
  directory = tmp_path / 'site'
  write(directory)
  before = program.files(directory)
  # What such a kill leaves; the next export fails in its turn.
  directory.rename(tmp_path / 'site.old')
  with monkeypatch.context() as m:
    m.setattr(shards, 'shard', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      write(directory)
  assert program.files(directory) == before


def test_what_another_export_left_is_gone(tmp_path):
  write(tmp_path / 'site', ('A1', 'A2'))
  write(tmp_path / 'site')
  assert not (tmp_path / 'site/data/A2').exists()
