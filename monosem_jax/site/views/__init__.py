"""The data of the page's other views: packs made from finished analyses.

Each view is a module with a function `packs(folder, keys)`. `folder` returns
the folder of an analysis by its name. `keys` lists the sets of features on the
page; a pack refers to a set by its index there. The function returns packs by
name, an empty dictionary if its analysis was not made. `static/views/` has the
scripts that draw them.
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
  """The packs of all views whose analyses were made."""
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
