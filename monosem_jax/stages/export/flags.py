"""Reads and checks the flags of an export."""

import pathlib

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.config.names import SetId, by_name, main_dictionary, parse


def features(text: str, count: int) -> list[int]:
  """Reads numbers and ranges of features; ranges include both ends.

  Args:
    text: such as 3,17,100-120; '' for all.
    count: number of features.

  Returns:
    The features, rising, each once.

  Raises:
    UserError: a part is not a number or a range, or the feature does not exist.
  """
  if not text:
    return list(range(count))
  found: set[int] = set()
  for part in (x.strip() for x in text.split(',')):
    first, dash, last = (x.strip() for x in part.partition('-'))
    last = last if dash else first
    if not (_number(first) and _number(last) and int(first) <= int(last)):
      raise UserError(
        f'--features: {part!r} is neither a number nor a range, such as 3 or '
        '100-120.'
      )
    if int(last) >= count:
      raise UserError(
        f'--features: {part}: there are {count:,} features, 0 to {count - 1}.'
      )
    found.update(range(int(first), int(last) + 1))
  return sorted(found)


def _number(text: str) -> bool:
  return text.isascii() and text.isdecimal()


def dictionary(config: settings.Config, name: str) -> SetId:
  """Returns a dictionary or control by its name, A/1; '' is the main one."""
  if not config.dictionaries:
    raise UserError('export: the config names no dictionary.')
  if not name:
    return parse(main_dictionary(config))
  known = by_name(config)
  if name not in known:
    raise UserError(f'--run: unknown run {name!r}{nearest(name, known)}.')
  return known[name]


def file(to: str, suffix: str) -> pathlib.Path:
  """Returns the file to write; it must not exist yet."""
  if not to.endswith(suffix):
    raise UserError(f'--to=FILE{suffix} is needed: the file to write.')
  path = pathlib.Path(to).absolute()
  if path.exists():
    raise UserError(f'--to: {path} exists; name another, or remove it.')
  return path


def folder(to: str) -> pathlib.Path:
  """Returns the folder to write; it must be new or empty."""
  if not to:
    raise UserError('--to=DIR is needed: the folder to write.')
  directory = pathlib.Path(to).absolute()
  if directory.exists() and not directory.is_dir():
    raise UserError(f'--to: {directory} is a file, not a folder.')
  if directory.exists() and any(directory.iterdir()):
    raise UserError(
      f'--to: {directory} is not empty; name another folder, or empty it.'
    )
  for end in ('.new', '.old'):
    other = directory.with_name(directory.name + end)
    if other.exists():
      raise UserError(
        f'--to: {other} is in the way; a killed export may have left it. '
        'Remove it, or name another folder.'
      )
  return directory
