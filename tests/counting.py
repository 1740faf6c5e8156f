"""Activations that say which they are, and a dictionary that counts them.

A stand-in for the transformer makes activations that are the one-hot number of
their (context, position), and a dictionary that is the identity counts, per
number, the steps since it was last seen: so the real chunk says which step
trained on which activation.
"""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary import state as states
from monosem_jax.dictionary.sae import SAE

T, C, STORE = 8, 64, 96
NEVER = 1_000_000


def stream(**changes) -> settings.Stream:
  c = settings.Stream(
    contexts_per_chunk=C,
    positions_per_context=4,
    shuffle_groups=8,
    micro_batches=1,
    batch_size=64,
    precision='float32',
    seed=5,
  )
  return dataclasses.replace(c, **changes)


@contextlib.contextmanager
def on_mesh(shape):
  """The mesh in force; without one for None, as on a single device."""
  if shape is None:
    yield None
    return
  mesh = meshes.make_mesh(settings.Mesh(data=shape[0], feature=shape[1]))
  with jax.set_mesh(mesh):
    yield mesh


def place(mesh, *arrays):
  if mesh is None:
    return arrays
  return tuple(meshes.put(mesh, x, meshes.SPECS.tokens_CT) for x in arrays)


def chunks(n: int, C: int = C):
  """n chunks over a store, each epoch of it in an order of its own."""
  epochs = -(-n * C // STORE)
  rng = np.random.default_rng(0)
  context = np.concatenate([rng.permutation(STORE) for _ in range(epochs)])
  epoch = np.repeat(np.arange(epochs), STORE)
  for k in range(n):
    here = slice(k * C, (k + 1) * C)
    tokens_CT = context[here, None] * T + np.arange(T)
    yield tuple(
      x.astype(np.int32) for x in (tokens_CT, context[here], epoch[here])
    )


def one_hot(lm, tokens_BT):
  return jax.nn.one_hot(tokens_BT, lm.shape[0], dtype=jnp.float32) * lm


def counting_state(c: settings.Dictionary, ids: int) -> states.StreamState:
  """An identity, so that feature i fires on activation i alone."""
  d = states.init(c, ids)
  sae = SAE(jnp.eye(ids), jnp.zeros(ids), jnp.eye(ids), jnp.zeros(ids))
  silent_F = jnp.full(ids, NEVER, jnp.int32)
  d = d.replace(sae=sae, silent_F=silent_F)
  return states.StreamState.of(jnp.int32(0), {'d': c}, {'d': d})
