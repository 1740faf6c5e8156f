"""A folder that is there whole or not at all, also after a kill."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from monosem_jax.config.errors import UserError


@contextlib.contextmanager
def whole_or_nothing(directory: Path) -> Iterator[Path]:
  """Gives a scratch folder that becomes `directory` when the block succeeds.

  Raises:
    UserError: `directory` holds files already or cannot be made, or the disk
      is full.
  """
  if directory.exists() and not directory.is_dir():
    raise UserError(f'{directory} is no folder. Write elsewhere.')
  if directory.exists() and any(directory.iterdir()):
    raise UserError(
      f'{directory} already holds files. Remove it, or write elsewhere.'
    )
  # A sibling: a rename within one folder is atomic. Its name is fixed, so that
  # the next run finds what a killed one left.
  scratch = directory.absolute().with_name(f'.{directory.name}.partial')
  shutil.rmtree(scratch, ignore_errors=True)
  try:
    scratch.mkdir(parents=True)
  except OSError as e:
    raise UserError(f'{scratch} cannot be made: {e.strerror}.') from e
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
    if _is_full(e):
      raise _full(scratch, used, 2 * used) from e
    raise


def require_space(scratch: Path, more: int) -> None:
  """Raises UserError where the disk has no room for `more` bytes."""
  if shutil.disk_usage(scratch).free < more:
    used = sum(path.stat().st_size for path in scratch.iterdir())
    raise _full(scratch, used, used + more)


def _full(scratch: Path, used: int, need: int) -> UserError:
  return UserError(
    f'The disk that holds {scratch.parent} is full: {used / 1e6:,.1f} MB of '
    f'the token store were written there and it needs {need / 1e6:,.1f} MB or '
    'more (4 bytes a token while it is written, 2 afterwards). Free some space '
    'or choose another folder; what was written has been removed.'
  )


def _is_full(error: BaseException) -> bool:
  if isinstance(error, OSError):
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
  # ArrayRecord's C++ writer has only the message.
  return isinstance(error, RuntimeError) and 'No space left' in str(error)


def _sync(path: Path) -> None:
  fd = os.open(path, os.O_RDONLY)
  try:
    os.fsync(fd)
  finally:
    os.close(fd)
