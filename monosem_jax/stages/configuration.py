"""A run's settings, checked by all who take part in it."""

from collections.abc import Sequence

from monosem_jax.config import load as configs, settings
from monosem_jax.dictionary import recipes
from monosem_jax.text import sources


def load(path: str, overrides: Sequence[str] = ()) -> settings.Config:
  """Reads a config file, see `config.load.load`, and asks the modules that it
  chooses whether they can take it.

  Raises:
    UserError: no such file, key, value or module, or an impossible combination.
  """
  config = configs.load(path, overrides)
  sources.of(config.text)
  for name, c in config.dictionaries.items():
    recipes.check(f'dictionaries.{name}', c, config.stream)
  return config
