"""What the page's other views show: packs made of finished analyses.

A module each, with a function `packs(folder, keys)`: it takes what gives the
folders of analyses, and the keys of the sets that are shown, in order, and
returns packs by name, none where its analysis is not made. Sets are told by
their numbers in `keys`. What is drawn of them stands in `static/views/`.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monosem_jax.config import choices
from monosem_jax.config.names import name_of
from monosem_jax.site.links import Folders

# A pack's meta and columns.
Pack = tuple[Any, Mapping[str, np.ndarray]]


def packs(folder: Folders, keys: Sequence[str]) -> dict[str, Pack]:
  """Those of all views, as far as their analyses are made."""
  found: dict[str, Pack] = {}
  for name in choices.names(__name__):
    view = importlib.import_module(f'{__name__}.{name}')
    found |= view.packs(folder, keys)
  return found


def numbers_of(keys: Sequence[str], names: Sequence[str]) -> list[int] | None:
  """Returns the numbers of sets, such as A/1, among the keys of all sets.

  None if one of them is missing.
  """
  number = {name_of(key): i for i, key in enumerate(keys)}
  if not set(names) <= number.keys():
    return None
  return [number[name] for name in names]
