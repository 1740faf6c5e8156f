"""Compiles the programs that the stages run, and returns their costs.

A state may be real arrays, or only the shapes of arrays to be made.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from monosem_jax.config import settings
from monosem_jax.config.names import width
from monosem_jax.device import mesh as meshes
from monosem_jax.device.compile import Program, compile_chunk
from monosem_jax.device.cost import Devices, dictionary, transformer
from monosem_jax.device.mesh import SPECS
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary import (
  recipes,
  sae as sae_lib,
  sparse,
  train as dictionary_train,
)
from monosem_jax.dictionary.state import StreamState, init_stream, stacks
from monosem_jax.features import collect
from monosem_jax.transformer import train as transformer_train
from monosem_jax.transformer.model import Transformer
from monosem_jax.transformer.train import TrainState


def forward(lm: Transformer, tokens_BT: jax.Array) -> jax.Array:
  """Returns the activations of the decomposed site.

  XLA drops the layers that follow it.
  """
  return lm(tokens_BT)[1]


def transformer_mesh(
  config: settings.Config,
  model: str,
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """Makes the mesh for a transformer's training.

  Args:
    config: the settings.
    model: the transformer's name.
    devices: see `mesh.make_mesh`.

  Raises:
    UserError: the devices cannot share the work evenly.
  """
  c, mesh = config.models[model], meshes.make_mesh(config.mesh, devices)
  contexts = c.micro_batch or c.batch_size
  meshes.require_share(mesh, contexts, f'models.{model}.micro_batch')
  return mesh


def stream_mesh(
  config: settings.Config,
  names: list[str],
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """Makes the mesh for the training of dictionaries.

  Args:
    config: the settings.
    names: keys of the dictionaries.
    devices: see `mesh.make_mesh`.

  Raises:
    UserError: the devices cannot share the work evenly.
  """
  c, mesh = config.stream, meshes.make_mesh(config.mesh, devices)
  data, feature = meshes.AXES[:1], meshes.AXES[1:]
  micro = c.contexts_per_chunk // c.shuffle_groups // c.micro_batches
  shares = [
    (c.shuffle_groups, 'stream.shuffle_groups', data),
    (micro, 'stream: the contexts of a micro-batch of a group', feature),
  ]
  for name in names:
    features = config.dictionaries[name].features
    shares.append((features, f'dictionaries.{name}.features', feature))
  for n, key, axes in shares:
    meshes.require_share(mesh, n, key, axes)
  return mesh


def transformer_state(
  c: settings.Transformer, mesh: Mesh, V: int, T: int
) -> TrainState:
  """Returns the shapes and placement of a transformer's train state."""
  init = functools.partial(
    transformer_train.init, c, vocab_size=V, context=T, separator=0
  )
  return meshes.like(mesh, init)


def transformer_chunk(
  c: settings.Transformer, mesh: Mesh, state: TrainState, T: int
) -> Program:
  """Compiles `chunk(state, tokens_SBT)`, see `transformer.train.make_chunk`."""
  shape = c.steps_per_chunk, c.batch_size, T
  return compile_chunk(
    transformer_train.make_chunk(c),
    state,
    meshes.abstract(mesh, shape, jnp.int32, SPECS.tokens_SBT),
  )


def transformer_flops(
  c: settings.Transformer, mesh: Mesh, V: int, T: int
) -> float:
  """Returns FLOPs per device of a chunk of a transformer's training."""
  step = transformer.step_flops(c, V, T, Devices(**mesh.shape))
  return step * c.steps_per_chunk


def stream_state(
  config: settings.Config, model: str, names: list[str], mesh: Mesh
) -> StreamState:
  """Returns the shapes and placement of a model's dictionaries."""
  dictionaries = {name: config.dictionaries[name] for name in names}
  A = width(config.models[model])
  return meshes.like(mesh, functools.partial(init_stream, dictionaries, A))


def stream_chunk(
  config: settings.Config,
  names: list[str],
  mesh: Mesh,
  state: StreamState,
  lm: Transformer,
  T: int,
) -> Program:
  """Compiles `chunk(state, lm, tokens_CT, context_C, epoch_C)`, see
  `dictionary.train.make_chunk`."""
  c = config.stream
  dictionaries = {name: config.dictionaries[name] for name in names}
  shapes = [(c.contexts_per_chunk, *more) for more in ((T,), (), ())]
  return compile_chunk(
    dictionary_train.make_chunk(c, dictionaries, forward),
    state,
    lm,
    *(meshes.abstract(mesh, x, jnp.int32, SPECS.tokens_CT) for x in shapes),
  )


def features_batch(
  c: settings.Features,
  mesh: Mesh,
  lm: Transformer,
  A: int,
  F: int,
  T: int,
  dtype: jnp.dtype,
) -> Program:
  """Compiles a batch of the features pass, see `features.collect.make_step`."""
  B = c.batch_size
  room = collect.room_for(c, F, B * T, c.contexts * T)
  key = jax.eval_shape(lambda: jax.random.key(0))
  one, over = SPECS.replicated, meshes.tokens_spec(B)
  return compile_chunk(
    collect.make_step(forward, Dot(dtype), room),
    meshes.like(mesh, lambda: collect.fresh(F, 2 * c.top)),
    lm,
    meshes.like(mesh, lambda: sae_lib.init(jax.random.key(0), A, F)),
    meshes.abstract(mesh, (F,), jnp.float32, one),
    meshes.abstract(mesh, (), key.dtype, one),
    meshes.abstract(mesh, (B, T), jnp.int32, over),
    meshes.abstract(mesh, (B,), jnp.int32, over),
  )


def sweep(
  config: settings.Config,
  model: str,
  names: list[str],
  mesh: Mesh,
  V: int,
  T: int,
) -> dictionary.Sweep:
  """Returns a model's dictionaries as the cost functions take them."""
  dictionaries = {name: config.dictionaries[name] for name in names}

  def resolved(d: settings.Dictionary) -> settings.Dictionary:
    path = 'always' if sparse.pays(d) else 'never'
    return dataclasses.replace(d, sparse=path)

  return dictionary.Sweep(
    stream=config.stream,
    model=config.models[model],
    V=V,
    T=T,
    A=width(config.models[model]),
    stacks=tuple(
      tuple(resolved(dictionaries[name]) for name in stack)
      for stack in stacks(dictionaries)
    ),
    converted=frozenset(
      d.recipe for d in dictionaries.values() if recipes.of(d).standard
    ),
    devices=Devices(**mesh.shape),
    item=compute_dtype(config.stream.precision).itemsize,
  )
