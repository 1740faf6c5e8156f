"""Ways to train a dictionary, a module each: `settings.Dictionary.recipe`.

A module's `RECIPE` holds all that is of this recipe alone. Every finished
dictionary has the standard form, the paper's: decoder rows of norm 1, encoded
and decoded by `sae`.
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
  """What sets a recipe apart. A part that is None is left out.

  Attributes:
    check: `check(where, c, stream)` raises UserError for settings that the
      recipe cannot have; `where` names the dictionary.
    init: `init(c, width) -> SAE`, the weights before they have seen data.
    gradient: `gradient(c, sae, scale, l1, rows, index_MGn, dot) -> (grads,
      numbers, fired_F)`, of the batch's mean loss; arguments and results are
      those of `gradient.gradient`.
    optimizer: `optimizer(c, lr)`, whose state training keeps.
    start: `start(c, sae, x_NA, key, dot) -> SAE`, the weights that data fix
      before the first step, from a sample of rows in the dictionary's scale.
    constrain: `constrain(sae) -> SAE`, applied after every step.
    standard: `standard(sae, dot) -> SAE`, what is trained in the standard form;
      None: it is trained in that form.
    row_losses: `row_losses(sae, x_NA, dot)`, as `sae.row_losses`: the loss that
      resampling chooses inputs by; None: dead features are never re-drawn.
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
  """The recipe of a dictionary.

  Raises:
    UserError: no module has its name.
  """
  found = choices.module(__name__, c.recipe, f'config: {where}: unknown')
  recipe: Recipe = found.RECIPE
  return recipe


def check(where: str, c: settings.Dictionary, stream: settings.Stream) -> None:
  """Raises UserError for a recipe that does not exist, or cannot have the
  settings `c`, of the dictionary `where`."""
  recipe = of(c, f'{where}.recipe')
  recipe.check(where, c, stream)
  need(
    not c.resampling.steps or recipe.row_losses is not None,
    f'{where}.resampling.steps',
    f'the recipe `{c.recipe}` resamples nothing: set them to ().',
  )


def standard(c: settings.Dictionary, sae: SAE, dot: Dot) -> SAE:
  """The standard form of a dictionary that was trained by `c.recipe`."""
  convert = of(c).standard
  return sae if convert is None else convert(sae, dot)
