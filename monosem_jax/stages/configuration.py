"""The settings of a run, checked by all modules that they choose."""

from collections.abc import Sequence

from monosem_jax.config import load as configs, settings
from monosem_jax.dictionary import recipes
from monosem_jax.text import sources


def load(path: str, overrides: Sequence[str] = ()) -> settings.Config:
  """Reads a config file (`config.load.load`) and checks it.

  The text source and the recipes that it chooses check their own settings.

  Raises:
    UserError: no such file, key, value or module, or an impossible combination.
  """
  config = configs.load(path, overrides)
  sources.of(config.text)
  for name, c in config.dictionaries.items():
    recipes.check(f'dictionaries.{name}', c, config.stream)
  return config
