"""What a config may not say: impossible values and combinations, up front."""

from monosem_jax.config import settings
from monosem_jax.config.check import measuring, toy, training
from monosem_jax.config.errors import UserError
from monosem_jax.config.names import model_of


def check(config: settings.Config) -> None:
  """Raises UserError at the first thing that cannot be.

  What only a module of another room knows, as a recipe or a text source does,
  `stages.configuration` checks.
  """
  training.text(config.text, config.tokenizer)
  if not config.models:
    raise UserError('config: models names no model; add models.A.')
  for name, model in config.models.items():
    training.model(f'models.{name}', name, model)
    training.shuffled(config, name)
  training.stream(config)
  for name, dictionary in config.dictionaries.items():
    model_of(config, name)
    training.dictionary(f'dictionaries.{name}', dictionary, config.stream)
  measuring.passes(config)
  measuring.analysis(config)
  toy.toy(config.toy)
