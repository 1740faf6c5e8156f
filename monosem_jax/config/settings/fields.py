"""Markers on the fields of settings."""

import dataclasses
from typing import TypeVar

_T = TypeVar('_T')


def free(default: _T) -> _T:
  """Returns a field that may change between a run and its continuation."""
  return dataclasses.field(default=default, metadata={'free': True})
