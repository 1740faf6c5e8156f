"""Errors that a user can fix: what is wrong, where, and what to do."""

import difflib
import errno
import re
from collections.abc import Iterable

# No space left on the disk, or in the user's quota.
_FULL = (errno.ENOSPC, errno.EDQUOT)


class UserError(Exception):
  """Bad input or a refused request; `main` prints it and exits with code 2."""


class Stopped(Exception):
  """A signal ended the run at a chunk border, after a save.

  Attributes:
    signum: the signal; `main` exits with 128 + signum, as shells do.
  """

  def __init__(self, message: str, signum: int):
    super().__init__(message)
    self.signum = signum


def nearest(word: str, known: Iterable[str]) -> str:
  """Returns ` (did you mean X?)`, or all known words if none is similar."""
  known = sorted(known)
  near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
  if near:
    return f' (did you mean {near[0]!r}?)'
  return f' (known: {", ".join(known)})' if known else ''


def full_disk(error: BaseException | None) -> bool:
  """Returns whether an error, or one of its causes, reports a full disk."""
  while error is not None:
    if isinstance(error, OSError) and error.errno in _FULL:
      return True
    # TensorStore and ArrayRecord report it in the message only.
    if 'No space left on device' in str(error):
      return True
    error = error.__cause__ or error.__context__
  return False


def full_memory(error: BaseException) -> str:
  """Returns XLA's line about exhausted device memory; '' for other errors."""
  message = str(error)
  if 'RESOURCE_EXHAUSTED' not in message:
    return ''
  found = re.search(r'(Ran o|O)ut of memory[^\n]*', message)
  return found[0] if found else message.partition('\n')[0]
