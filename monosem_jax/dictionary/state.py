"""The state of a dictionary's training, and dictionaries stacked in one."""

import dataclasses
from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp
import optax

from monosem_jax import settings
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.dictionary.sae import SAE


@flax.struct.dataclass
class DictionaryState:
  """All that a training step reads or changes of one dictionary.

  Dictionaries that differ in nothing but these values share one program; what
  shapes the program is in the settings.

  Attributes:
    sae: the weights.
    opt_state: Adam's.
    silent_F: steps since each feature last fired, int32.
    l1: the L1 coefficient in force.
    lr: the learning rate.
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
          *('median_rows', 'normalize', 'lr', 'seed'),
        )
      },
    )
    groups.setdefault(shape, []).append(name)
  return [tuple(names) for names in groups.values()]


def drop_parallel() -> optax.GradientTransformation:
  """Removes from each decoder row's gradient its part along the row.

  g_i -= (g_i . d_i) d_i for unit rows d_i (as the paper): the step then does
  not spend itself on a norm that is put back to 1 behind it.
  """

  def update(grads: SAE, state, params: SAE):
    g_FA, d_FA = grads.W_dec_FA, params.W_dec_FA
    along_F1 = (g_FA * d_FA).sum(1, keepdims=True)
    return grads.replace(W_dec_FA=g_FA - along_F1 * d_FA), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def optimizer(
  c: settings.Dictionary, lr: jax.Array | float
) -> optax.GradientTransformation:
  """Adam on gradients freed of their part along each dictionary row."""
  return optax.chain(drop_parallel(), optax.adam(lr, b1=c.beta1, b2=c.beta2))


def init(c: settings.Dictionary, width: int) -> DictionaryState:
  """A state before it has seen data; see `init.start` for what data fixes."""
  sae = sae_lib.init(jax.random.key(c.seed), width, c.features)
  dtype = sae.b_enc_F.dtype
  return DictionaryState(
    sae=sae,
    opt_state=optimizer(c, c.lr).init(sae),
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
