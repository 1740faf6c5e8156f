"""The state of a dictionary's training, and dictionaries stacked in one."""

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
  """All that a training step reads or changes of one dictionary.

  Dictionaries that differ in nothing but these values share one program; what
  shapes the program is in the settings.

  Attributes:
    sae: the weights as they are trained, see `recipes.standard`.
    opt_state: Adam's.
    silent_F: steps since each feature last fired, int32.
    l1: the L1 coefficient, before `optimizer.pace`.
    lr: the learning rate, likewise.
    seed: of the resampling's draws, int32.
    scale: what rows are multiplied with first; 1 unless normalised.
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

  The step is shared, so that "is a resampling due" stays one scalar: batched
  with the stack, `lax.cond` would run both of its branches at every step.

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
  """Groups the names whose dictionaries can be stacked, in their order."""
  groups: dict[settings.Dictionary, list[str]] = {}
  for name, c in dictionaries.items():
    # What `DictionaryState` holds as a value, or what is over by step 0.
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
  """A state before it has seen data; see `init.start` for what data fixes."""
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
  """The state of a stream before it has seen data."""
  states = {name: init(c, width) for name, c in dictionaries.items()}
  return StreamState.of(jnp.zeros((), jnp.int32), dictionaries, states)
