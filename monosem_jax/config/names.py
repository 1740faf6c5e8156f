"""What the names of a config's entries say: `A1` is run 1 on model A."""

import dataclasses
import re
from collections.abc import Mapping

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError


@dataclasses.dataclass(frozen=True)
class SetName:
  """The name of a set of features: a dictionary's, or a control's.

  Attributes:
    model: the transformer: A.
    kind: the number of a dictionary's run, 1, or what a control is, neurons.
  """

  model: str
  kind: str

  @property
  def key(self) -> str:
    """The name that config keys and files have: A1, A_neurons."""
    return f'{self.model}{"_" * self.is_control}{self.kind}'

  @property
  def run(self) -> str:
    """The paper's name: A/1, A/neurons."""
    return f'{self.model}/{self.kind}'

  @property
  def is_control(self) -> bool:
    return not self.kind.isdecimal()

  @property
  def is_neurons(self) -> bool:
    return self.kind == 'neurons'


def parse(key: str) -> SetName | None:
  """Reads a key, A1 or A_neurons; None if it is neither."""
  found = re.fullmatch(r'(.+?)(?:(\d+)|_([a-z]+))', key)
  return SetName(found[1], found[2] or found[3]) if found else None


def model_of(config: settings.Config, dictionary: str) -> str:
  """The model a dictionary belongs to: `A1` is run 1 on model `A`.

  Raises:
    UserError: the key names no model of the config and a run.
  """
  name = parse(dictionary)
  if name is None or name.is_control or name.model not in config.models:
    raise UserError(
      f'config: dictionaries.{dictionary}: the key must be the name of a model '
      f'and the number of a run, such as {next(iter(config.models))}1.'
    )
  return name.model


def run_name(key: str) -> str:
  """The paper's name of a set of features: `A/1` for the key `A1`."""
  name = parse(key)
  return name.run if name else key


def by_run(config: settings.Config) -> dict[str, SetName]:
  """All dictionaries and controls, by the paper's names of them."""
  names = (
    *config.dictionaries,
    *(controls(config) if config.dictionaries else ()),
  )
  found = map(parse, names)
  return {name.run: name for name in found if name}


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
