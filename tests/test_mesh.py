"""The mesh, where arrays live on it, and how a batch is split on it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec as P

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary.state import init as init_state


@pytest.mark.parametrize(
  ('data', 'feature', 'shape'),
  [(-1, 1, (8, 1)), (-1, 2, (4, 2)), (2, -1, (2, 4)), (1, 8, (1, 8))],
)
def test_the_free_axis_takes_the_devices_that_are_left(data, feature, shape):
  mesh = meshes.make_mesh(settings.Mesh(data=data, feature=feature))
  assert dict(mesh.shape) == {'data': shape[0], 'feature': shape[1]}
  assert len(set(mesh.devices.ravel())) == 8


@pytest.mark.parametrize(
  ('data', 'feature'),
  [(3, 2), (-1, 3), (16, 1), (16, -1), (4, 1), (0, 8), (-1, 0), (-2, -4)],
)
def test_axes_that_do_not_fit_the_devices_are_refused(data, feature):
  with pytest.raises(UserError, match=r'mesh') as refused:
    meshes.make_mesh(settings.Mesh(data=data, feature=feature))
  assert f'data={data} x feature={feature}' in str(refused.value)
  assert '8 devices' in str(refused.value)


def test_two_free_axes_are_refused():
  with pytest.raises(UserError, match='only one'):
    meshes.make_mesh(settings.Mesh(data=-1, feature=-1))


@pytest.mark.parametrize('shape', [(8, 1), (4, 2), (1, 8)])
def test_micro_batches_hold_every_row_once_and_move_none(shape):
  mesh = meshes.make_mesh(settings.Mesh(*shape))
  with jax.set_mesh(mesh):
    x = np.arange(48 * 3).reshape(48, 3)
    placed = meshes.put(mesh, x, meshes.SPECS.tokens_BT)
    place_of = {
      int(row): shard.device
      for shard in placed.addressable_shards
      for row in np.asarray(shard.data)[:, 0] // 3
    }
    inner = NamedSharding(mesh, meshes.SPECS.tokens_SBT)
    parts = jax.jit(lambda x: meshes.micro_batches(x, 3), out_shardings=inner)(
      placed
    )
    assert parts.shape == (3, 16, 3)
    rows = np.asarray(parts).reshape(48, 3)
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], x)
    for shard in parts.addressable_shards:
      assert shard.data.shape == (3, 2, 3)
      for row in np.asarray(shard.data)[..., 0].ravel() // 3:
        assert place_of[int(row)] == shard.device


def test_micro_batches_without_a_mesh_are_runs_of_rows():
  parts = meshes.micro_batches(jnp.arange(12), 3)
  np.testing.assert_array_equal(parts, np.arange(12).reshape(3, 4))


def test_constrain_without_a_mesh_changes_nothing():
  x = jnp.arange(6.0)
  assert meshes.constrain(x, meshes.SPECS.x_NA) is x


@pytest.mark.parametrize('shape', [(8, 1), (2, 4)])
def test_a_dictionary_is_split_by_features_with_its_moments_beside_it(shape):
  mesh = meshes.make_mesh(settings.Mesh(*shape))
  c = settings.Dictionary(features=16)
  init = lambda: init_state(c, 6)
  with jax.set_mesh(mesh):
    state = meshes.init_sharded(mesh, init)
  F = 16 // shape[1]
  (adam,) = [s for s in state.opt_state[1] if hasattr(s, 'mu')]
  for sae in (state.sae, adam.mu, adam.nu):
    for name, part in (
      ('W_enc_AF', (6, F)),
      ('b_enc_F', (F,)),
      ('W_dec_FA', (F, 6)),
      ('b_dec_A', (6,)),
    ):
      array = getattr(sae, name)
      assert {s.data.shape for s in array.addressable_shards} == {part}
      own = getattr(state.sae, name)
      for a, b in zip(
        array.addressable_shards, own.addressable_shards, strict=True
      ):
        assert (a.device, a.index) == (b.device, b.index)
  assert {s.data.shape for s in state.silent_F.addressable_shards} == {(F,)}
  for x in (state.l1, state.scale, adam.count):
    assert x.sharding.is_fully_replicated
  # Made in place or made and moved: the same numbers.
  for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(init()), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_shapes_for_a_restore_are_those_of_the_state():
  mesh = meshes.make_mesh(settings.Mesh(data=2, feature=4))
  init = lambda: init_state(settings.Dictionary(features=16), 6)
  with jax.set_mesh(mesh):
    state = meshes.init_sharded(mesh, init)
    like = meshes.like(mesh, init)
  for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(like), strict=True):
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


def test_every_spec_names_axes_of_the_mesh():
  for field in dataclasses.fields(meshes.Specs):
    spec = getattr(meshes.SPECS, field.name)
    assert isinstance(spec, P)
    for axes in spec:
      names = axes if isinstance(axes, tuple) else (axes,)
      assert set(names) <= {None, *meshes.AXES}


@pytest.mark.parametrize(
  'shape, even, uneven', [((8, 1), 8, 1), ((4, 2), 8, 2), ((1, 8), 8, 8)]
)
def test_rows_that_cannot_be_spread_are_shared_by_features_alone(
  shape, even, uneven
):
  assert meshes.f_shards(16) == 1
  with jax.set_mesh(meshes.make_mesh(settings.Mesh(*shape))):
    assert meshes.f_shards(16) == even
    assert meshes.f_shards(3) == uneven
