"""Trains the models on a language of planted features."""

import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import topics
from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  init as dictionary_init,
  state as states,
  train as dictionary_train,
)
from monosem_jax.dictionary.sae import SAE
from monosem_jax.stages import programs
from monosem_jax.transformer import train
from monosem_jax.transformer.model import Transformer

# Batches per chunk of the dictionaries' training.
BATCHES = 64


def transformer(
  c: settings.Topics,
  next_KM: np.ndarray,
  penalty: float,
  seed: int,
  rng: np.random.Generator,
) -> Transformer:
  """Trains a transformer with a penalty on its activations."""
  s = settings.Transformer(
    d_model=c.d_model,
    d_mlp=c.d_mlp,
    n_heads=1,
    seed=seed,
    steps=c.steps,
    batch_size=c.batch_size,
    lr=c.lr,
    warmup_steps=c.steps // 15,
    activation_penalty=penalty,
    precision='float32',
  )
  state = train.init(
    s, vocab_size=topics.vocab_size(c), context=c.context, separator=0
  )
  tokens_NT = topics.draw(c, next_KM, c.steps * c.batch_size, rng)
  tokens_SBT = tokens_NT.reshape(c.steps, c.batch_size, c.context)
  state, _ = train.make_chunk(s)(state, jnp.asarray(tokens_SBT))
  return state.model


def dictionaries(
  c: settings.Topics,
  next_KM: np.ndarray,
  lm: Transformer,
  seed: int,
  rng: np.random.Generator,
) -> list[SAE]:
  """Trains a dictionary at each L1 coefficient, all on the same activations.

  They use the paper's recipe without resampling, on all positions.
  """
  stream = settings.Stream(
    contexts_per_chunk=BATCHES * c.dictionary_contexts,
    positions_per_context=c.context,
    shuffle_groups=1,
    micro_batches=1,
    batch_size=c.dictionary_contexts * c.context,
    steps=BATCHES * c.chunks,
    seed=seed,
    precision='float32',
  )
  each = {
    f'd{i}': settings.Dictionary(
      features=c.features,
      l1=l1,
      lr=c.dictionary_lr,
      seed=seed,
      resampling=settings.Resampling(steps=()),
    )
    for i, l1 in enumerate(c.l1s)
  }

  def contexts():
    tokens_CT = topics.draw(c, next_KM, stream.contexts_per_chunk, rng)
    return jnp.asarray(tokens_CT)

  x_NA = programs.forward(lm, contexts()).reshape(-1, c.d_mlp)
  dot = Dot(jnp.dtype(jnp.float32))
  fresh = {
    name: dictionary_init.start(
      d, states.init(d, c.d_mlp), x_NA[: d.median_rows], dot
    )
    for name, d in each.items()
  }
  state = states.StreamState.of(jnp.int32(0), each, fresh)
  chunk = dictionary_train.make_chunk(stream, each, programs.forward)
  zero_C = jnp.zeros(stream.contexts_per_chunk, jnp.int32)
  for _ in range(c.chunks):
    state, _ = chunk(state, lm, contexts(), zero_C, zero_C)
  return [state.dictionaries[name].sae for name in each]
