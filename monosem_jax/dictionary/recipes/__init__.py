"""Training recipes, one module each: `settings.Dictionary.recipe`.

A module's `RECIPE` holds everything specific to its recipe. Every finished
dictionary has the paper's standard form: decoder rows of norm 1, encoded and
decoded by `sae`.
"""

import dataclasses
from collections.abc import Callable

import jax
import optax

from monosem_jax.config import choices, settings
from monosem_jax.config.check.rules import need
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE

# Means over the batch, as `step.train_step` returns them, without `l0`.
Numbers = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Recipe:
  """The parts that define a recipe. A part that is None is skipped.

  Attributes:
    check: `check(where, c, stream)` raises UserError for settings that the
      recipe does not support; `where` names the dictionary.
    init: `init(c, width) -> SAE`, the weights before they have seen data.
    gradient: `gradient(c, sae, scale, l1, rows, index_MGn, dot) -> (grads,
      numbers, fired_F)`, of the batch's mean loss; arguments and results are
      those of `gradient.gradient`.
    optimizer: `optimizer(c, lr)`, the optimizer.
    start: `start(c, sae, x_NA, key, dot) -> SAE` sets the weights that depend
      on data before the first step, from a sample of scaled rows.
    constrain: `constrain(sae) -> SAE`, applied after every step.
    standard: `standard(sae, dot) -> SAE` converts trained weights to the
      standard form; None if they already have it.
    row_losses: `row_losses(sae, x_NA, dot)`, as `sae.row_losses`, the loss by
      which resampling chooses inputs; None: dead features are not resampled.
  """

  check: Callable[[str, settings.Dictionary, settings.Stream], None]
  init: Callable[[settings.Dictionary, int], SAE]
  gradient: Callable[..., tuple[SAE, Numbers, jax.Array]]
  optimizer: Callable[
    [settings.Dictionary, jax.Array | float], optax.GradientTransformation
  ]
  start: Callable[..., SAE] | None = None
  constrain: Callable[[SAE], SAE] | None = None
  standard: Callable[[SAE, Dot], SAE] | None = None
  row_losses: Callable[..., tuple[jax.Array, jax.Array, jax.Array]] | None = (
    None
  )


def of(c: settings.Dictionary, where: str = 'recipe') -> Recipe:
  """Returns the recipe of a dictionary.

  Raises:
    UserError: no module has its name.
  """
  found = choices.module(__name__, c.recipe, f'config: {where}: unknown')
  recipe: Recipe = found.RECIPE
  return recipe


def check(where: str, c: settings.Dictionary, stream: settings.Stream) -> None:
  """Raises UserError if dictionary `where` names an unknown recipe, or one that
  does not support the settings `c`."""
  recipe = of(c, f'{where}.recipe')
  recipe.check(where, c, stream)
  need(
    not c.resampling.steps or recipe.row_losses is not None,
    f'{where}.resampling.steps',
    f'the recipe {c.recipe!r} does not resample; set them to ().',
  )


def standard(c: settings.Dictionary, sae: SAE, dot: Dot) -> SAE:
  """Converts a dictionary trained by `c.recipe` to the standard form."""
  convert = of(c).standard
  return sae if convert is None else convert(sae, dot)
