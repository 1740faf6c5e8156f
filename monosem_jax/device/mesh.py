"""The device mesh, and the placement of every array of the program on it.

The mesh has two axes: `data` (contexts, activation rows) and `feature` (the
features of a dictionary). No other module writes an axis name.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError

AXES = ('data', 'feature')


@dataclasses.dataclass(frozen=True)
class Specs:
  """Every PartitionSpec of the program; a field is named as its tensor."""

  replicated: P = P()
  # Contexts of the transformer, spread over the whole mesh.
  tokens_BT: P = P(AXES)
  tokens_SBT: P = P(None, AXES)
  # A chunk's contexts as the host sends them; groups lie on `data`.
  tokens_CT: P = P('data')
  # The tokens of a chunk: micro-batches, which are mapped over, then groups.
  tokens_UGCT: P = P(None, 'data', 'feature')
  # Rows of a chunk, by micro-batch and group.
  rows_UGrA: P = P(None, 'data')
  # Rows of a batch.
  x_NA: P = P('data')
  x_MNA: P = P(None, 'data')
  f_NF: P = P('data', 'feature')
  # One entry per dimension, since a stack adds a leading one (`shardings`).
  W_enc_AF: P = P(None, 'feature')
  b_enc_F: P = P('feature')
  W_dec_FA: P = P('feature', None)
  b_dec_A: P = P(None)
  silent_F: P = P('feature')
  # Totals of the features pass.
  fired_F: P = P('feature')
  top_FE: P = P('feature', None)
  top_context_FE: P = P('feature', None)
  # Activations of rows that cannot be spread evenly over `data`.
  uneven_NF: P = P(None, 'feature')
  # Cross-moments of features with others.
  sum_X: P = P('feature')
  square_X: P = P('feature')
  product_XY: P = P('feature', None)
  x_square_XY: P = P('feature', None)
  y_square_XY: P = P('feature', None)


SPECS = Specs()


def make_mesh(
  config: settings.Mesh, devices: Sequence[jax.Device] | None = None
) -> jax.sharding.Mesh:
  """Builds the `data` x `feature` mesh over all devices.

  Args:
    config: the number of devices along each axis.
    devices: devices of a target (see `targets`); None for the local ones.

  Raises:
    UserError: the axes do not multiply to the number of devices.
  """
  n = jax.device_count() if devices is None else len(devices)
  data, feature = config.data, config.feature
  if data == -1 and feature == -1:
    raise UserError('mesh: only one of mesh.data and mesh.feature may be -1.')
  if data == -1:
    data = n // max(feature, 1)
  if feature == -1:
    feature = n // max(data, 1)
  if data < 1 or feature < 1 or data * feature != n:
    raise UserError(
      f'mesh: data={config.data} x feature={config.feature} does not fit the '
      f'{n} devices {"here" if devices is None else "of the target"}; set '
      '--config.mesh.data and --config.mesh.feature so that their product is '
      'the device count.'
    )
  laid_out = mesh_utils.create_device_mesh(
    (data, feature),
    devices,
    # Allows 8 x 8 on a torus of 4 x 4 x 4, which `jax.make_mesh` refuses.
    allow_split_physical_axes=True,
  )
  # Auto: under Explicit axes, lax.map over sharded groups raises an error.
  axis_types = (AxisType.Auto,) * len(AXES)
  return jax.sharding.Mesh(laid_out, AXES, axis_types=axis_types)


def platform() -> str:
  """Returns the platform that programs are compiled for: cpu, gpu or tpu.

  It is that of the current mesh, whose devices may belong to a target that is
  not present, and otherwise that of the default backend.
  """
  mesh = jax.sharding.get_abstract_mesh()
  return jax.default_backend() if mesh.empty else mesh.abstract_device.platform


def require_share(
  mesh: jax.sharding.Mesh, n: int, key: str, axes: tuple[str, ...] = AXES
) -> None:
  """Raises UserError unless `n` (the config's `key`) can be spread evenly."""
  parts = math.prod(mesh.shape[axis] for axis in axes)
  if n % parts:
    raise UserError(
      f'{key}: {n} cannot be spread over {parts} devices evenly; choose a '
      'multiple, or fewer devices (--config.mesh.data, --config.mesh.feature).'
    )


def shardings(mesh: jax.sharding.Mesh, tree: Any) -> Any:
  """Returns the placement of every array of a state, by its field's name.

  Adam's moments have the field names of their weights, so they get the same
  placement. Arrays that `Specs` does not name are replicated, and so is the
  leading axis of stacked dictionaries.
  """
  return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs(tree))


def specs(tree: Any) -> Any:
  """Returns the PartitionSpec of every array of a state, see `shardings`."""

  def of_leaf(path: tuple[Any, ...], x: jax.Array) -> P:
    name = getattr(path[-1], 'name', '') if path else ''
    spec = getattr(SPECS, name, SPECS.replicated)
    return P(*[None] * (x.ndim - len(spec)), *spec)

  return jax.tree_util.tree_map_with_path(of_leaf, tree)


def init_sharded(mesh: jax.sharding.Mesh, init: Callable[[], Any]) -> Any:
  """Runs `init()` and creates every array directly on its devices."""
  like = jax.eval_shape(init)
  return jax.jit(init, out_shardings=shardings(mesh, like))()


def like(mesh: jax.sharding.Mesh, init: Callable[[], Any]) -> Any:
  """Returns the shapes of `init()` with their placement, for a restore."""
  shapes = jax.eval_shape(init)
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    shardings(mesh, shapes),
  )


def abstract(
  mesh: jax.sharding.Mesh, shape: tuple[int, ...], dtype, spec: P
) -> jax.ShapeDtypeStruct:
  """Returns the shape and sharding of an array that `put` places."""
  return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))


def put(mesh: jax.sharding.Mesh, x, spec: P) -> jax.Array:
  """Spreads a host array over the mesh; every process holds all of it."""
  x = np.asarray(x)
  return jax.make_array_from_callback(
    x.shape, NamedSharding(mesh, spec), lambda index: x[index]
  )


def place(mesh: jax.sharding.Mesh, tree: Any) -> Any:
  """Spreads a tree of host arrays, as `put`, by `shardings`."""
  return jax.tree.map(
    lambda x, s: put(mesh, x, s.spec), tree, shardings(mesh, tree)
  )


def fetch(tree: Any) -> Any:
  """Returns the arrays of a tree as whole numpy arrays in every process.

  Arrays spread over several processes are gathered one at a time, so all
  processes must call this.
  """

  def whole(x):
    if isinstance(x, jax.Array) and not (
      x.is_fully_addressable or x.is_fully_replicated
    ):
      return multihost_utils.process_allgather(x, tiled=True)
    return x

  return jax.device_get(jax.tree.map(whole, tree))


@dataclasses.dataclass(frozen=True)
class Share:
  """The part of spread arrays that this process holds.

  It works for any placement: the process's devices may be scattered over the
  mesh, and axes may repeat an array or cut it across processes.

  Attributes:
    sharding: sharding of the arrays.
    shape: shape of their leading axes; the other axes are not spread.
    rows: entries held here, as flat indices into the leading axes.
  """

  sharding: NamedSharding
  shape: tuple[int, ...]
  rows: np.ndarray

  def put(self, x: np.ndarray) -> jax.Array:
    """Makes the global array from the entries that each process holds."""
    number = np.arange(math.prod(self.shape)).reshape(self.shape)

    def part(index):
      rows = number[index[: len(self.shape)]]
      return x[np.searchsorted(self.rows, rows)]

    return jax.make_array_from_callback(
      (*self.shape, *x.shape[1:]), self.sharding, part
    )


def share(mesh: jax.sharding.Mesh, shape: tuple[int, ...], spec: P) -> Share:
  """Returns this process's share of arrays with these leading axes."""
  sharding = NamedSharding(mesh, spec)
  number = np.arange(math.prod(shape)).reshape(shape)
  held = sharding.addressable_devices_indices_map(shape).values()
  rows = np.unique(np.concatenate([number[index].ravel() for index in held]))
  return Share(sharding, shape, rows)


def constrain(x: jax.Array, spec: P) -> jax.Array:
  """Constrains `x` to `spec` on the current mesh; without a mesh, returns x."""
  if jax.sharding.get_abstract_mesh().empty:
    return x
  return jax.lax.with_sharding_constraint(x, spec)


def in_place(tree: Any) -> Any:
  """Constrains the arrays of a tree to the placement of `shardings`."""
  if jax.sharding.get_abstract_mesh().empty:
    return tree
  return jax.tree.map(constrain, tree, specs(tree))


def tokens_spec(n: int) -> P:
  """Returns the spec of n contexts: spread evenly, or else replicated."""
  mesh = jax.sharding.get_abstract_mesh()
  even = mesh.empty or n % mesh.size == 0
  return SPECS.tokens_BT if even else SPECS.replicated


def feature_shards() -> int:
  """Returns the number of devices that features are spread over."""
  mesh = jax.sharding.get_abstract_mesh()
  return 1 if mesh.empty else mesh.shape['feature']


def f_spec(n: int) -> P:
  """Returns the spec of f_NF with n rows, in equal shares."""
  mesh = jax.sharding.get_abstract_mesh()
  even = mesh.empty or n % mesh.shape['data'] == 0
  return SPECS.f_NF if even else SPECS.uneven_NF


def f_shards(n: int) -> int:
  """Returns the number of devices that f_NF with n rows is spread over."""
  mesh = jax.sharding.get_abstract_mesh()
  axes = () if mesh.empty else filter(None, f_spec(n))
  return math.prod(mesh.shape[axis] for axis in axes)


def spread(spec: P) -> tuple[P, P, P]:
  """Returns specs of a matrix's rows, its columns, and one entry per device."""
  rows, columns = spec
  return P(rows), P(columns), P(tuple(x for x in spec if x))


def per_device(
  f: Callable[..., Any], in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
  """Maps `f` over each device's shards; without a mesh, returns `f`."""
  if jax.sharding.get_abstract_mesh().empty:
    return f
  return jax.shard_map(
    f, in_specs=in_specs, out_specs=out_specs, check_vma=False
  )


def sum_over_rows(tree: Any) -> Any:
  """Sums over the devices along `data`, inside `per_device`."""
  return _sum(tree, 'data')


def sum_over_features(tree: Any) -> Any:
  """Sums over the devices along `feature`, inside `per_device`."""
  return _sum(tree, 'feature')


def mean_over_devices(total: jax.Array) -> jax.Array:
  """Averages over all devices, inside `per_device`, a sum over `data`."""
  mesh = jax.sharding.get_abstract_mesh()
  whole: jax.Array = sum_over_features(total)
  return whole / (1 if mesh.empty else mesh.size)


def _sum(tree: Any, axis: str) -> Any:
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.shape[axis] == 1:
    return tree
  return jax.lax.psum(tree, axis)


def micro_batches(x: jax.Array, n: int) -> jax.Array:
  """Splits the leading axis into n micro-batches: [N, ...] -> [n, N / n, ...].

  The leading axis must be spread over the whole mesh. Each shard is split, so
  that no row moves; splitting the whole axis would map over devices instead.
  """
  mesh = jax.sharding.get_abstract_mesh()
  shards = 1 if mesh.empty else mesh.size
  parts = x.reshape(shards, n, -1, *x.shape[1:]).swapaxes(0, 1)
  return parts.reshape(n, -1, *x.shape[1:])
