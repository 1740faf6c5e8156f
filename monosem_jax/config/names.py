"""What the names of a config's entries say: `A1` is run 1 on model A."""

import re
from collections.abc import Mapping

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError


def model_of(config: settings.Config, dictionary: str) -> str:
  """The model a dictionary belongs to: `A1` is run 1 on model `A`."""
  match = re.fullmatch(r'(.*?)(\d+)', dictionary)
  if not match or match[1] not in config.models:
    raise UserError(
      f'config: dictionaries.{dictionary}: the key must be the name of a model '
      f'and the number of a run, such as {next(iter(config.models))}1.'
    )
  return match[1]


def run_name(dictionary: str) -> str:
  """The paper's name of a dictionary's run: `A/1` for the key `A1`, and
  `A/neurons` for the control `A_neurons`."""
  return re.sub(r'_?(\d+|(?<=_)[a-z]+)$', r'/\1', dictionary)


def width(model: settings.Transformer) -> int:
  """A: the width of the activations that a dictionary decomposes."""
  return model.d_mlp if model.site == 'mlp' else model.d_model


def main_dictionary(config: settings.Config) -> str:
  """The dictionary that the analyses are most about."""
  return config.analysis.main or next(iter(config.dictionaries))


def match_dictionary(config: settings.Config) -> str | None:
  """The dictionary of another model that it is compared with, if any is."""
  if config.analysis.match:
    return config.analysis.match
  main = main_dictionary(config)
  own = model_of(config, main)
  for model, c in config.models.items():
    name = model + main[len(own) :]
    if model != own and not c.shuffle_of and name in config.dictionaries:
      return name
  return None


def controls(config: settings.Config) -> list[str]:
  """The controls, by names as dictionaries have them: `A_neurons`, ..."""
  own = model_of(config, main_dictionary(config))
  return [
    f'{model}_{kind}'
    for model, names in entries(config).items()
    for kind in config.analysis.controls
    if names and (model == own or kind == 'neurons')
  ]


def entries(config: settings.Config) -> Mapping[str, list[str]]:
  """The dictionaries of each model, in the config's order."""
  found: dict[str, list[str]] = {name: [] for name in config.models}
  for name in config.dictionaries:
    found[model_of(config, name)].append(name)
  return found
