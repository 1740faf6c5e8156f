"""Draws a random sample of the active entries of f_NF in one pass.

Every activation has a priority, a random number that depends only on its row
and feature. An activation is drawn if its priority is below its feature's
threshold. So no array of random numbers is stored, and every mesh draws the
same sample. Drawn activations are rare, so the blocks of rows that contain some
are located first, and only these are examined.
"""

import functools
import math

import flax.struct
import jax
import jax.numpy as jnp

from monosem_jax.device.mesh import f_spec, per_device, spread

# Number of bits of a priority, which float32 holds exactly.
_BITS = 24
# Number of rows in a block.
_BLOCK = 32


@flax.struct.dataclass
class Drawn:
  """Drawn activations on the X devices of the mesh, with room for M on each.

  Attributes:
    row_XM: row of each activation in f_NF.
    feature_XM: feature of each activation.
    value_XM: the activation.
    priority_XM: its priority. The activations of a feature with the lowest
      priorities are a sample without replacement.
    count_X: number of activations that each device drew. Only the first count_X
      entries are valid. A count above M means that activations were lost; it
      then is a lower bound.
  """

  row_XM: jax.Array
  feature_XM: jax.Array
  value_XM: jax.Array
  priority_XM: jax.Array
  count_X: jax.Array


def draw(
  f_NF: jax.Array, keep_F: jax.Array, key: jax.Array, room: int
) -> Drawn:
  """Draws each activation of feature i with probability keep_F[i].

  Args:
    f_NF: activations, sharded as `mesh.f_spec`.
    keep_F: probabilities, with a resolution of 2^-24.
    key: random key of this batch.
    room: M.
  """
  N, F = f_NF.shape
  at = f_spec(N)
  by_row, by_feature, device = spread(at)
  row_key, feature_key = jax.random.split(key)
  found = per_device(
    functools.partial(_of_device, room=room),
    (at, by_row, by_row, by_feature, by_feature, by_feature),
    (device,) * 5,
  )(
    f_NF,
    jnp.arange(N, dtype=jnp.int32),
    jax.random.bits(row_key, (N,)),
    jnp.arange(F, dtype=jnp.int32),
    jax.random.bits(feature_key, (F,)),
    jnp.round(keep_F * 2**_BITS).astype(jnp.int32),
  )
  return Drawn(*found)


def priority(row: jax.Array, feature: jax.Array) -> jax.Array:
  """The priority of an activation, from random bits of its row and feature.

  It is the finalizer of MurmurHash3 (https://github.com/aappleby/smhasher), in
  which each input bit flips about half of the output bits.

  Args:
    row: random bits of the row, uint32.
    feature: random bits of the feature, uint32.

  Returns:
    int32, uniform below 2^24.
  """
  x = row ^ feature
  x = (x ^ x >> 16) * jnp.uint32(0x85EBCA6B)
  x = (x ^ x >> 13) * jnp.uint32(0xC2B2AE35)
  return ((x ^ x >> 16) >> 32 - _BITS).astype(jnp.int32)


def _of_device(f_nf, row_n, bits_n, feature_f, bits_f, below_f, room):
  """`draw` on a device's shard of f_NF."""
  n, f = f_nf.shape
  k = math.gcd(n, _BLOCK)
  drawn_nf = (f_nf > 0) & (priority(bits_n[:, None], bits_f) < below_f)
  block_m, blocks = _first(drawn_nf.reshape(-1, k, f).any(1), room)
  # Only blocks with drawn activations are examined further.
  of_m, at_m = jnp.divmod(block_m, f)
  in_blocks = lambda x_n: x_n.reshape(-1, k)[of_m]
  f_mk = f_nf.reshape(-1, k, f)[of_m, :, at_m]
  priority_mk = priority(in_blocks(bits_n), bits_f[at_m][:, None])
  there_m1 = jnp.arange(room)[:, None] < blocks
  drawn_mk = there_m1 & (f_mk > 0) & (priority_mk < below_f[at_m][:, None])
  own_m, count = _first(drawn_mk, room)
  take = lambda x_mk: x_mk.reshape(-1)[own_m][None]
  return (
    take(in_blocks(row_n)),
    feature_f[at_m][own_m // k][None],
    take(f_mk),
    take(priority_mk),
    # Each block without room contains at least one drawn activation.
    (count + jnp.maximum(blocks - room, 0))[None],
  )


def _first(true_X: jax.Array, room: int) -> tuple[jax.Array, jax.Array]:
  """Flat indices of the first `room` true entries, and the number of all."""
  until_X = jnp.cumsum(true_X.reshape(-1), dtype=jnp.int32)
  at_m = jnp.searchsorted(until_X, jnp.arange(room), side='right')
  return jnp.minimum(at_m, true_X.size - 1), until_X[-1]
