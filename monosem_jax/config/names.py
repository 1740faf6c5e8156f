"""Names of models, dictionaries and controls: A1 is dictionary 1 of model A."""

import contextlib
import dataclasses
import re
from collections.abc import Mapping

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError


@dataclasses.dataclass(frozen=True)
class SetId:
  """Identifies a set of features: those of a dictionary or a control.

  Attributes:
    model: name of the transformer: A.
    kind: number of a dictionary (1), or kind of a control (neurons).
  """

  model: str
  kind: str

  @property
  def key(self) -> str:
    """The key in configs and file names: A1, A_neurons."""
    return f'{self.model}{"_" * self.is_control}{self.kind}'

  @property
  def name(self) -> str:
    """The paper's name: A/1, A/neurons."""
    return f'{self.model}/{self.kind}'

  @property
  def is_control(self) -> bool:
    return not self.kind.isdecimal()

  @property
  def is_neurons(self) -> bool:
    return self.kind == 'neurons'


def parse(key: str) -> SetId:
  """Parses a key such as A1 or A_neurons.

  Raises:
    UserError: the text has another form.
  """
  found = re.fullmatch(r'(.+?)(?:(\d+)|_([a-z]+))', key)
  if not found:
    raise UserError(
      f'{key!r}: a dictionary or control has a name such as A1 or A_neurons.'
    )
  return SetId(found[1], found[2] or found[3])


def model_of(config: settings.Config, dictionary: str) -> str:
  """Returns the model of a dictionary: `A1` is dictionary 1 of model `A`.

  Raises:
    UserError: the key is not a model of the config followed by a number.
  """
  with contextlib.suppress(UserError):
    own = parse(dictionary)
    if not own.is_control and own.model in config.models:
      return own.model
  raise UserError(
    f'config: dictionaries.{dictionary}: the key must be the name of a model '
    f'and a number, such as {next(iter(config.models))}1.'
  )


def name_of(key: str) -> str:
  """Returns the paper's name of a set of features: `A/1` for the key `A1`."""
  return parse(key).name


def by_name(config: settings.Config) -> dict[str, SetId]:
  """Returns all dictionaries and controls by the paper's names."""
  keys = (
    *config.dictionaries,
    *(controls(config) if config.dictionaries else ()),
  )
  return {own.name: own for own in map(parse, keys)}


def width(model: settings.Transformer) -> int:
  """Returns A, the width of the activations that a dictionary decomposes."""
  return model.d_mlp if model.site == 'mlp' else model.d_model


def main_dictionary(config: settings.Config) -> str:
  """Returns the dictionary that most analyses describe."""
  return config.analysis.main or next(iter(config.dictionaries))


def match_dictionary(config: settings.Config) -> str | None:
  """Returns the dictionary of another model to compare with, or None."""
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
  """Returns the keys of the controls: `A_neurons`, ..."""
  own = model_of(config, main_dictionary(config))
  return [
    f'{model}_{kind}'
    for model, names in entries(config).items()
    for kind in config.analysis.controls
    if names and (model == own or kind == 'neurons')
  ]


def entries(config: settings.Config) -> Mapping[str, list[str]]:
  """Returns the dictionaries of each model, in the config's order."""
  found: dict[str, list[str]] = {name: [] for name in config.models}
  for name in config.dictionaries:
    found[model_of(config, name)].append(name)
  return found
