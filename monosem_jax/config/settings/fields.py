"""What a field may be, besides its type."""

import dataclasses
from typing import TypeVar

_T = TypeVar('_T')


def free(default: _T) -> _T:
  """A field that may change between a run and its continuation."""
  return dataclasses.field(default=default, metadata={'free': True})
