"""Choices that are modules of a package: one more file is one more choice."""

import ast
import importlib
import pathlib
import pkgutil
from collections.abc import Iterator
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


def literals(package: str, name: str) -> dict[str, dict[str, Any]]:
  """What modules of a package declare as `name = Kind(key=value, ...)`.

  Only the values that are literals; the modules are read and not imported.
  """
  found = {}
  for module, tree in _sources(package):
    for node in tree.body:
      if (
        isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == name
        and isinstance(node.value, ast.Call)
      ):
        found[module] = _literals(node.value)
  return found


def summaries(package: str) -> dict[str, str]:
  """The first line of each module's docstring; imports none of them."""
  return {
    module: (ast.get_docstring(tree) or '').partition('\n')[0].rstrip('.')
    for module, tree in _sources(package)
  }


def _sources(package: str) -> Iterator[tuple[str, ast.Module]]:
  for folder in importlib.import_module(package).__path__:
    for file in sorted(pathlib.Path(folder).glob('*.py')):
      if file.stem != '__init__':
        yield file.stem, ast.parse(file.read_text('utf-8'))


def _literals(call: ast.Call) -> dict[str, Any]:
  found = {}
  for keyword in call.keywords:
    try:
      found[str(keyword.arg)] = ast.literal_eval(keyword.value)
    except ValueError:
      continue  # not a literal
  return found
