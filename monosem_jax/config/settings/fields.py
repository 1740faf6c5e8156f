"""What a field may be, besides its type."""

import dataclasses


def free(default):
  """A field that may change between a run and its continuation."""
  return dataclasses.field(default=default, metadata={'free': True})
