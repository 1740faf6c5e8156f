"""Writes a folder atomically: after a kill it is complete or absent."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from monosem_jax.config.errors import UserError, full_disk


@contextlib.contextmanager
def whole_or_nothing(directory: Path) -> Iterator[Path]:
  """Yields a scratch folder that becomes `directory` if the block succeeds.

  Raises:
    UserError: `directory` is not an empty folder or cannot be created, or the
      disk is full.
  """
  if directory.exists() and not directory.is_dir():
    raise UserError(f'{directory} is not a folder. Choose another one.')
  if directory.exists() and any(directory.iterdir()):
    raise UserError(
      f'{directory} already contains files. Remove it or choose another folder.'
    )
  # It is a sibling, since a rename within one folder is atomic. Its name is
  # fixed, so that the next run removes what a killed run left.
  scratch = directory.absolute().with_name(f'.{directory.name}.partial')
  shutil.rmtree(scratch, ignore_errors=True)
  try:
    scratch.mkdir(parents=True)
  except OSError as e:
    raise UserError(f'{scratch} cannot be created: {e.strerror}.') from e
  try:
    yield scratch
    for path in sorted(scratch.iterdir()):
      _sync(path)
    _sync(scratch)
    os.replace(scratch, directory)
    _sync(scratch.parent)
  except BaseException as e:
    used = sum(path.stat().st_size for path in scratch.glob('*'))
    shutil.rmtree(scratch, ignore_errors=True)
    if full_disk(e):
      raise _full(scratch, used, 2 * used) from e
    raise


def require_space(scratch: Path, more: int) -> None:
  """Raises UserError if the disk has no room for `more` bytes."""
  if shutil.disk_usage(scratch).free < more:
    used = sum(path.stat().st_size for path in scratch.iterdir())
    raise _full(scratch, used, used + more)


def _full(scratch: Path, used: int, need: int) -> UserError:
  return UserError(
    f'The disk of {scratch.parent} is full: {used / 1e6:,.1f} MB of the token '
    f'store were written, and it needs {need / 1e6:,.1f} MB or more (4 bytes '
    'per token while it is written, 2 afterwards). Free some space or choose '
    'another folder. The partial store was removed.'
  )


def _sync(path: Path) -> None:
  fd = os.open(path, os.O_RDONLY)
  try:
    os.fsync(fd)
  finally:
    os.close(fd)
