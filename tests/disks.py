"""Disks that are small, full or read-only; skipped where they cannot be."""

import contextlib
import itertools
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def small(path: pathlib.Path, size: str) -> Iterator[pathlib.Path]:
  """A new disk of a size as mount says it, '24m'."""
  path.mkdir()
  _mount('-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(path))
  with _mounted(path):
    yield path


def fill(disk: pathlib.Path, leave: int) -> pathlib.Path:
  """Fills a disk up to some bytes; the file that does."""
  path = disk / 'fill'
  found = os.statvfs(disk)
  path.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - leave)))
  return path


def fill_slowly(disk: pathlib.Path) -> pathlib.Path:
  """Fills a disk that others write to, to the last page; the file that does."""
  path = disk / 'fill'
  with contextlib.suppress(OSError), path.open('wb', buffering=0) as file:
    while True:
      file.write(bytes(4_096))
  return path


@contextlib.contextmanager
def read_only_mount(directory: pathlib.Path) -> Iterator[None]:
  """A directory that a mount makes read-only."""
  path = str(directory)
  _mount('--bind', path, path)
  with _mounted(directory):
    # Refused as long as a file below is open for writing.
    for patience in itertools.count():
      why = _mount('-o', 'remount,bind,ro', path, skip=patience == 200)
      if not why:
        break
      time.sleep(0.005)
    yield


@contextlib.contextmanager
def no_write_permission(directory: pathlib.Path) -> Iterator[None]:
  """A directory that nobody may write to, for `ordinary` processes."""
  directory.chmod(0o555)
  try:
    yield
  finally:
    directory.chmod(0o755)


def ordinary() -> tuple[str, ...]:
  """A command under which permissions bind even root."""
  if os.geteuid():
    return ()
  prefix = ('setpriv', '--bounding-set=-dac_override,-dac_read_search')
  if not shutil.which('setpriv'):
    pytest.skip('root ignores permissions, and there is no setpriv')
  done = subprocess.run([*prefix, 'true'], capture_output=True, text=True)
  if done.returncode:
    pytest.skip(done.stderr.strip())
  return prefix


def _mount(*arguments: str, skip: bool = True) -> str:
  """Mounts; why it cannot be, where the test is not skipped for it."""
  if not shutil.which('mount'):
    pytest.skip('there is no mount command')
  done = subprocess.run(['mount', *arguments], capture_output=True, text=True)
  why = done.stderr.strip().partition('\n')[0] if done.returncode else ''
  if why and skip:
    pytest.skip(f'no mount: {why}')
  return why


@contextlib.contextmanager
def _mounted(path: pathlib.Path) -> Iterator[None]:
  try:
    yield
  finally:
    subprocess.run(['umount', '--lazy', str(path)], check=True)
