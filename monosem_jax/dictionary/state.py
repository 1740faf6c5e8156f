"""The training state of a dictionary, and of a stack of dictionaries."""

import dataclasses
from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp
import optax

from monosem_jax.config import settings
from monosem_jax.dictionary import recipes
from monosem_jax.dictionary.sae import SAE


@flax.struct.dataclass
class DictionaryState:
  """All values of one dictionary that a training step reads or changes.

  Dictionaries that differ only in these values share one compiled program. The
  settings that the program itself depends on are not part of the state.

  Attributes:
    sae: the trained weights, in the recipe's form (`recipes.standard`).
    opt_state: Adam's state.
    silent_F: steps since each feature last fired, int32.
    l1: L1 coefficient, before `optimizer.pace`.
    lr: learning rate, before `optimizer.pace`.
    seed: seed of resampling, int32.
    scale: factor that multiplies rows first; 1 unless normalised.
  """

  sae: SAE
  opt_state: optax.OptState
  silent_F: jax.Array
  l1: jax.Array
  lr: jax.Array
  seed: jax.Array
  scale: jax.Array


@flax.struct.dataclass
class StreamState:
  """The state of a chunk: the dictionaries that share a stream.

  The step is shared, so that the resampling condition is one scalar: if it were
  batched with the stack, `lax.cond` would run both branches at every step.

  Attributes:
    step: training steps done, int32.
    stacks: dictionaries of equal shape, stacked along a new leading axis Z; the
      key is their names, joined by commas.
  """

  step: jax.Array
  stacks: dict[str, DictionaryState]

  @classmethod
  def of(
    cls,
    step: jax.Array,
    settings: Mapping[str, settings.Dictionary],
    states: Mapping[str, DictionaryState],
  ) -> 'StreamState':
    """Stacks the states of dictionaries."""
    return cls(
      step=step,
      stacks={
        ','.join(names): jax.tree.map(
          lambda *x: jnp.stack(x), *(states[n] for n in names)
        )
        for names in stacks(settings)
      },
    )

  @property
  def dictionaries(self) -> dict[str, DictionaryState]:
    """Each dictionary's own state, by its name."""
    return {
      name: jax.tree.map(lambda x, z=z: x[z], stack)
      for key, stack in self.stacks.items()
      for z, name in enumerate(key.split(','))
    }


def stacks(
  dictionaries: Mapping[str, settings.Dictionary],
) -> list[tuple[str, ...]]:
  """Groups the names of dictionaries that can be stacked, in their order."""
  groups: dict[settings.Dictionary, list[str]] = {}
  for name, c in dictionaries.items():
    # Fields that `DictionaryState` holds as values, or that only act before
    # step 0, may differ inside a stack.
    shape = dataclasses.replace(
      c,
      **{
        field: getattr(settings.Dictionary, field)
        for field in (
          *('l1', 'l1_target_l0', 'calibration_steps', 'calibration_lr'),
          *('init', 'median_rows', 'normalize', 'lr', 'seed'),
        )
      },
    )
    groups.setdefault(shape, []).append(name)
  return [tuple(names) for names in groups.values()]


def init(c: settings.Dictionary, width: int) -> DictionaryState:
  """Returns the initial state, without the parts that `init.start` sets."""
  recipe = recipes.of(c)
  sae = recipe.init(c, width)
  dtype = sae.b_enc_F.dtype
  return DictionaryState(
    sae=sae,
    opt_state=recipe.optimizer(c, c.lr).init(sae),
    silent_F=jnp.zeros(c.features, jnp.int32),
    l1=jnp.asarray(c.l1, dtype),
    lr=jnp.asarray(c.lr, dtype),
    seed=jnp.asarray(c.seed, jnp.int32),
    scale=jnp.ones((), dtype),
  )


def init_stream(
  dictionaries: Mapping[str, settings.Dictionary], width: int
) -> StreamState:
  """Returns the state of a stream before it has seen data."""
  states = {name: init(c, width) for name, c in dictionaries.items()}
  return StreamState.of(jnp.zeros((), jnp.int32), dictionaries, states)
