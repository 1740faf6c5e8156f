"""Choices as modules of a package: each file of the package is a choice."""

import ast
import importlib
import pathlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from monosem_jax.config.errors import UserError, nearest


def names(package: str) -> tuple[str, ...]:
  """Returns the sorted names of a package's modules, without imports."""
  path = importlib.import_module(package).__path__
  return tuple(sorted(found.name for found in pkgutil.iter_modules(path)))


def module(package: str, name: str, unknown: str) -> ModuleType:
  """Imports the module that a choice names.

  Args:
    package: dotted name, such as `monosem_jax.text.sources`.
    name: name of the module.
    unknown: start of the error message for an unknown name.

  Raises:
    UserError: the package has no such module.
  """
  known = names(package)
  if name not in known:
    raise UserError(f'{unknown} {name!r}{nearest(name, known)}.')
  return importlib.import_module(f'{package}.{name}')


def declared(package: str, name: str) -> dict[str, Any]:
  """Imports a package's modules and returns what they declare as `name`."""
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
  """Returns the literal arguments of `name = Kind(key=value, ...)` by module.

  The modules are parsed, not imported; arguments that are not literals are
  left out.
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
  """Returns the first line of each module's docstring, without imports."""
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
