"""Choices that are modules of a package: one more file is one more choice."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from monosem_jax.config.errors import UserError, nearest


def names(package: str) -> tuple[str, ...]:
  """The modules of a package, in alphabetical order; imports none of them."""
  path = importlib.import_module(package).__path__
  return tuple(sorted(found.name for found in pkgutil.iter_modules(path)))


def module(package: str, name: str, unknown: str) -> ModuleType:
  """Imports the module that a choice names.

  Args:
    package: dotted, such as `monosem_jax.text.sources`.
    name: of the module.
    unknown: how the refusal of another name begins.

  Raises:
    UserError: the package has no such module.
  """
  known = names(package)
  if name not in known:
    raise UserError(f'{unknown} {name!r}{nearest(name, known)}.')
  return importlib.import_module(f'{package}.{name}')


def declared(package: str, name: str) -> dict[str, Any]:
  """What modules of a package declare as `name`; imports all of them."""
  modules = {
    found: importlib.import_module(f'{package}.{found}')
    for found in names(package)
  }
  return {
    found: getattr(module, name)
    for found, module in modules.items()
    if hasattr(module, name)
  }
