"""Loads config files as checked settings; the only user of ml_collections.

A config file defines `get_config()`, which returns a ConfigDict with the parts
of `settings.Config`. `lm` and `sae` hold the keys that the entries of `models`
and `dictionaries` share.
"""

import dataclasses
import json
import runpy
import sys
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

import monosem_jax
from monosem_jax.config import packaged, settings
from monosem_jax.config.check import check
from monosem_jax.config.errors import UserError, nearest

# Each family of entries: the name of its shared part, and the entries' type.
_FAMILIES = {
  'models': ('lm', settings.Transformer),
  'dictionaries': ('sae', settings.Dictionary),
}
_PARTS = {
  f.name: f.type
  for f in dataclasses.fields(settings.Config)
  if f.name not in _FAMILIES
} | {'lm': settings.Transformer, 'sae': settings.Dictionary}


def load(path: str, overrides: Sequence[str] = ()) -> settings.Config:
  """Reads a config file, applies overrides and checks the result.

  Args:
    path: a Python file that defines `get_config()`, the name of a config of
      the program, or the config.json of a work directory.
    overrides: `some.key=value` each; later ones win.

  Raises:
    UserError: no such file, key or value, or an impossible combination.
  """
  tree = _read(path)
  if path.endswith('.json'):
    _must_be_of_this_version(tree, path)
  for override in overrides:
    key, sign, value = override.partition('=')
    if not sign:
      raise UserError(
        f'--config.{key}: no value given; write --config.{key}=VALUE.'
      )
    _apply(tree, key, value)
  for override in overrides:
    _must_matter(tree, override.partition('=')[0])
  return resolve(tree)


def resolve(tree: Mapping[str, Any]) -> settings.Config:
  """Returns checked settings for the nested dicts of a config file."""
  parts: dict[str, Any] = {
    name: _build(kind, _group(tree, name), name)
    for name, kind in _PARTS.items()
    if name not in ('lm', 'sae')
  }
  for family, (shared, kind) in _FAMILIES.items():
    entries = _group(tree, family)
    parts[family] = {
      name: _build(
        kind,
        _merge(_group(tree, shared), _group(entries, name, f'{family}.')),
        f'{family}.{name}',
      )
      for name in entries
    }
  unknown = set(tree) - set(_PARTS) - set(_FAMILIES)
  if unknown:
    word = min(unknown)
    raise UserError(
      f'config: unknown part {word!r}{nearest(word, [*_PARTS, *_FAMILIES])}.'
    )
  config = settings.Config(**parts)
  check(config)
  return config


def as_dict(config: settings.Config) -> dict[str, Any]:
  """Returns the settings as nested dicts of JSON types."""
  tree: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
  return tree


def _read(path: str) -> dict[str, Any]:
  file = packaged.find(path)
  if file.suffix == '.json':
    try:
      kept = json.loads(file.read_text('utf-8'))
    except ValueError as e:
      raise UserError(f'--config: {path} is not valid JSON: {e}.') from e
    if not isinstance(kept, dict):
      raise UserError(f'--config: {path} holds no settings.')
    return kept
  sys.path.insert(0, str(file.parent))  # a config may import one beside it
  try:
    # An import would leave compiled bytecode, which goes stale.
    found = runpy.run_path(str(file))
    tree = found['get_config']() if 'get_config' in found else None
  except Exception as e:
    raise UserError(f'--config: {path} raised {type(e).__name__}: {e}.') from e
  finally:
    sys.path.remove(str(file.parent))
  if not isinstance(tree, ml_collections.ConfigDict):
    raise UserError(
      f'--config: {path} must define get_config(), which returns an '
      'ml_collections.ConfigDict.'
    )
  found_tree: dict[str, Any] = tree.to_dict()
  return found_tree


def _must_be_of_this_version(tree: Mapping[str, Any], path: str) -> None:
  """Refuses a kept config.json that another version of the program wrote."""
  try:
    resolve(tree)
  except UserError as e:
    raise UserError(
      f'--config: {path} was written by another version of the program, or '
      f'changed by hand (this is version {monosem_jax.__version__}): {e} Give '
      'a config file of this version with --config=FILE, or continue with the '
      'version that made the work directory.'
    ) from e


def _group(
  tree: Mapping[str, Any], name: str, where: str = ''
) -> Mapping[str, Any]:
  value = tree.get(name, {})
  if not isinstance(value, Mapping):
    raise UserError(
      f'config: {where}{name} must be a group of keys, not {value!r}.'
    )
  return value


def _merge(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
  merged = dict(shared)
  for key, value in own.items():
    nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
    merged[key] = _merge(merged[key], value) if nested else value
  return merged


def _build(kind: Any, values: Mapping[str, Any], where: str) -> Any:
  """Builds a dataclass from a dict and checks each value against its type."""
  fields = {f.name: f.type for f in dataclasses.fields(kind)}
  for key in values:
    if key not in fields:
      raise UserError(
        f'config: unknown key {where}.{key}{nearest(key, fields)}.'
      )
  return kind(
    **{
      key: _typed(fields[key], v, f'{where}.{key}') for key, v in values.items()
    }
  )


def _typed(kind: Any, value: Any, where: str) -> Any:
  """Converts `value` to `kind`; a whole number may be written as 1e6."""
  if dataclasses.is_dataclass(kind):
    if not isinstance(value, Mapping):
      raise UserError(
        f'config: {where} must be a group of keys, not {value!r}.'
      )
    return _build(kind, value, where)
  origin = typing.get_origin(kind)
  if origin is tuple:
    (item, _) = typing.get_args(kind)
    if isinstance(value, list | tuple):
      return tuple(_typed(item, v, where) for v in value)
  elif origin is Mapping:
    item = typing.get_args(kind)[1]
    if isinstance(value, Mapping):
      return {k: _typed(item, v, f'{where}.{k}') for k, v in value.items()}
  elif kind is float:
    if isinstance(value, int | float) and not isinstance(value, bool):
      return float(value)
  elif kind is int:
    if isinstance(value, int) and not isinstance(value, bool):
      return value
    if isinstance(value, float) and value.is_integer():
      return int(value)
  elif isinstance(value, kind):
    return value
  raise UserError(f'config: {where} must be {_kind_name(kind)}, not {value!r}.')


def _kind_name(kind: Any) -> str:
  names: dict[Any, str] = {
    int: 'a whole number',
    float: 'a number',
    bool: 'true or false',
    str: 'a string',
    tuple[int, ...]: 'whole numbers, separated by commas',
    tuple[float, ...]: 'numbers, separated by commas',
    tuple[str, ...]: 'strings, separated by commas',
    Mapping[str, float]: 'a group of numbers',
  }
  return names.get(kind, str(kind))


def _apply(tree: dict[str, Any], key: str, text: str) -> None:
  """Sets a dotted key of the tree to the value that `text` spells."""
  *path, last = key.split('.')
  kind, node, where = None, tree, 'config'
  for depth, name in enumerate([*path, last]):
    kind, known = _child(kind, name, node, depth)
    if kind is None:
      raise UserError(f'--{where}.{name}: unknown key{nearest(name, known)}.')
    where = f'{where}.{name}'
    if depth < len(path):
      node = node.setdefault(name, {})
  if dataclasses.is_dataclass(kind) or kind in _FAMILIES.values():
    raise UserError(f'--{where} is a group of keys; name one of them.')
  node[last] = _parse(kind, text, f'--{where}')


def _must_matter(tree: Mapping[str, Any], key: str) -> None:
  """Refuses an override of a shared key that every entry sets itself."""
  part, _, below = key.partition('.')
  for family, (shared, _) in _FAMILIES.items():
    entries = _group(tree, family)
    if part != shared or not entries:
      continue
    if all(_has(entry, below.split('.')) for entry in entries.values()):
      raise UserError(
        f'--config.{key}: would change nothing: every entry of {family} sets '
        f'its own {below}; write '
        + ' and '.join(f'--config.{family}.{name}.{below}' for name in entries)
        + ' instead.'
      )


def _has(tree: Any, path: Sequence[str]) -> bool:
  for name in path:
    if not isinstance(tree, Mapping) or name not in tree:
      return False
    tree = tree[name]
  return True


def _child(
  kind: Any, name: str, node: Mapping[str, Any], depth: int
) -> tuple[Any, list[str]]:
  """Returns the type of a key below `kind` (or None), and the known keys."""
  if depth == 0:
    return (_FAMILIES | _PARTS).get(name), [*_PARTS, *_FAMILIES]
  if kind in _FAMILIES.values():  # models.A: the file names the entries
    return (kind[1] if name in node else None), list(node)
  if typing.get_origin(kind) is Mapping:
    return typing.get_args(kind)[1], []
  if dataclasses.is_dataclass(kind):
    fields = {f.name: f.type for f in dataclasses.fields(kind)}
    return fields.get(name), list(fields)
  return None, []


def _parse(kind: Any, text: str, where: str) -> Any:
  """Parses the text of an override as `kind`."""
  wrong = UserError(f'{where}: must be {_kind_name(kind)}, not {text!r}.')
  if typing.get_origin(kind) is tuple:
    items = [t.strip() for t in text.strip('()[] ').split(',') if t.strip()]
    item = typing.get_args(kind)[0]
    return tuple(_parse(item, t.strip('\'"'), where) for t in items)
  if kind is str:
    return text
  if kind is bool:
    words = {'true': True, '1': True, 'false': False, '0': False}
    if text.lower() not in words:
      raise wrong
    return words[text.lower()]
  try:
    number = float(text)
  except ValueError:
    raise wrong from None
  if kind is int:
    # int() first: float() rounds beyond 2**53.
    try:
      return int(text)
    except ValueError:
      if not number.is_integer():
        raise wrong from None
      return int(number)
  return number
