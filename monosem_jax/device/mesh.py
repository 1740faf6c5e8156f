"""The device mesh, and where every array of the program lives on it.

Two axes: `data` (contexts, activation rows) and `feature` (a dictionary's
rows). No other module writes an axis name.
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
  """Every PartitionSpec of the program; a field is a tensor plus its axes."""

  replicated: P = P()
  # Contexts of the transformer spread over the whole mesh.
  tokens_BT: P = P(AXES)
  tokens_SBT: P = P(None, AXES)
  # A chunk's contexts as they come from the host: groups lie on `data`.
  tokens_CT: P = P('data')
  # The tokens of a chunk, groups after the micro-batches that are mapped over.
  tokens_UGCT: P = P(None, 'data', 'feature')
  # Rows of a chunk, by micro-batch and group; rows of a batch.
  rows_UGrA: P = P(None, 'data')
  x_NA: P = P('data')
  x_MNA: P = P(None, 'data')
  f_NF: P = P('data', 'feature')
  # As many entries as dimensions: a stack of them has one more in front.
  W_enc_AF: P = P(None, 'feature')
  b_enc_F: P = P('feature')
  W_dec_FA: P = P('feature', None)
  b_dec_A: P = P(None)
  silent_F: P = P('feature')
  # What the features pass adds up; rows that cannot be spread evenly.
  fired_F: P = P('feature')
  top_FE: P = P('feature', None)
  top_context_FE: P = P('feature', None)
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
    config: how they are laid out.
    devices: those of a target, see `targets`; None for those that are here.

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
    # 8 x 8 on a torus of 4 x 4 x 4, which `jax.make_mesh` refuses.
    allow_split_physical_axes=True,
  )
  # Auto said outright: under Explicit, lax.map over sharded groups raises.
  axis_types = (AxisType.Auto,) * len(AXES)
  return jax.sharding.Mesh(laid_out, AXES, axis_types=axis_types)


def platform() -> str:
  """What programs are compiled for: cpu, gpu or tpu.

  The devices of the mesh in force decide it, which may be those of a target
  that is not here; no mesh, the default backend.
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
  """The placement of every array of a state, by the name of its field.

  Adam's moments have the fields of what they are moments of, and so lie beside
  it. What `Specs` does not name is replicated, and so is a leading axis by
  which dictionaries are stacked.
  """
  return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs(tree))


def specs(tree: Any) -> Any:
  """The PartitionSpec of every array of a state, see `shardings`."""

  def of_leaf(path: tuple[Any, ...], x: jax.Array) -> P:
    name = getattr(path[-1], 'name', '') if path else ''
    spec = getattr(SPECS, name, SPECS.replicated)
    return P(*[None] * (x.ndim - len(spec)), *spec)

  return jax.tree_util.tree_map_with_path(of_leaf, tree)


def made_in_place(mesh: jax.sharding.Mesh, init: Callable[[], Any]) -> Any:
  """Runs `init()` so that every array is made where it will live."""
  like = jax.eval_shape(init)
  return jax.jit(init, out_shardings=shardings(mesh, like))()


def like(mesh: jax.sharding.Mesh, init: Callable[[], Any]) -> Any:
  """The shapes of `init()` with their placement, for a restore."""
  shapes = jax.eval_shape(init)
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    shapes,
    shardings(mesh, shapes),
  )


def abstract(
  mesh: jax.sharding.Mesh, shape: tuple[int, ...], dtype, spec: P
) -> jax.ShapeDtypeStruct:
  """The shape of an array that `put` places."""
  return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))


def put(mesh: jax.sharding.Mesh, x, spec: P) -> jax.Array:
  """Sends a host array, which every process has whole, to its place."""
  x = np.asarray(x)
  return jax.make_array_from_callback(
    x.shape, NamedSharding(mesh, spec), lambda index: x[index]
  )


def place(mesh: jax.sharding.Mesh, tree: Any) -> Any:
  """Sends host arrays that every process has whole where `shardings` says."""
  return jax.tree.map(
    lambda x, s: put(mesh, x, s.spec), tree, shardings(mesh, tree)
  )


def fetch(tree: Any) -> Any:
  """The arrays of a tree as numpy arrays, whole, in every process.

  What is spread over several processes is gathered, one array at a time; all of
  them must call this.
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
  """What this process holds of arrays that are spread over the mesh.

  Any placement will do: of devices that lie scattered over the mesh, and of
  axes that repeat an array or cut it across processes.

  Attributes:
    sharding: of the arrays.
    shape: of their leading axes, which alone are spread.
    rows: the entries that are held, by their numbers over the leading axes.
  """

  sharding: NamedSharding
  shape: tuple[int, ...]
  rows: np.ndarray

  def put(self, x: np.ndarray) -> jax.Array:
    """Makes the global array of the entries that each process holds of it."""
    number = np.arange(math.prod(self.shape)).reshape(self.shape)

    def part(index):
      rows = number[index[: len(self.shape)]]
      return x[np.searchsorted(self.rows, rows)]

    return jax.make_array_from_callback(
      (*self.shape, *x.shape[1:]), self.sharding, part
    )


def share(mesh: jax.sharding.Mesh, shape: tuple[int, ...], spec: P) -> Share:
  """The share of this process in arrays whose leading axes have that shape."""
  sharding = NamedSharding(mesh, spec)
  number = np.arange(math.prod(shape)).reshape(shape)
  held = sharding.addressable_devices_indices_map(shape).values()
  rows = np.unique(np.concatenate([number[index].ravel() for index in held]))
  return Share(sharding, shape, rows)


def constrain(x: jax.Array, spec: P) -> jax.Array:
  """Pins `x` to `spec` on the mesh in force; no mesh, no constraint."""
  if jax.sharding.get_abstract_mesh().empty:
    return x
  return jax.lax.with_sharding_constraint(x, spec)


def in_place(tree: Any) -> Any:
  """Pins the arrays of a tree where `shardings` puts them."""
  if jax.sharding.get_abstract_mesh().empty:
    return tree
  return jax.tree.map(constrain, tree, specs(tree))


def tokens_spec(n: int) -> P:
  """Where n contexts go: over the mesh in force, or, uneven, everywhere."""
  mesh = jax.sharding.get_abstract_mesh()
  even = mesh.empty or n % mesh.size == 0
  return SPECS.tokens_BT if even else SPECS.replicated


def feature_shards() -> int:
  """How many devices share the features on the mesh in force."""
  mesh = jax.sharding.get_abstract_mesh()
  return 1 if mesh.empty else mesh.shape['feature']


def f_spec(n: int) -> P:
  """Where f_NF of n rows goes on the mesh in force, in equal shares."""
  mesh = jax.sharding.get_abstract_mesh()
  even = mesh.empty or n % mesh.shape['data'] == 0
  return SPECS.f_NF if even else SPECS.uneven_NF


def f_shards(n: int) -> int:
  """How many devices share f_NF of n rows on the mesh in force."""
  mesh = jax.sharding.get_abstract_mesh()
  axes = () if mesh.empty else filter(None, f_spec(n))
  return math.prod(mesh.shape[axis] for axis in axes)


def spread(spec: P) -> tuple[P, P, P]:
  """Specs of a matrix's rows, of its columns, and of one entry a device."""
  rows, columns = spec
  return P(rows), P(columns), P(tuple(x for x in spec if x))


def per_device(
  f: Callable[..., Any], in_specs: Any, out_specs: Any
) -> Callable[..., Any]:
  """`f` on each device's own shards; no mesh, no shards: `f` itself."""
  if jax.sharding.get_abstract_mesh().empty:
    return f
  return jax.shard_map(
    f, in_specs=in_specs, out_specs=out_specs, check_vma=False
  )


def sum_over_rows(tree: Any) -> Any:
  """Inside `per_device`: the sum over the shares of the rows."""
  return _sum(tree, 'data')


def sum_over_features(tree: Any) -> Any:
  """Inside `per_device`: the sum over the shares of the features."""
  return _sum(tree, 'feature')


def mean_over_devices(total: jax.Array) -> jax.Array:
  """Inside `per_device`: the mean over all, of what is a sum over rows."""
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

  The leading axis is taken to be spread over the whole mesh. Splitting it
  outermost would map over devices instead of inside each; so each shard is
  split, and no row moves.
  """
  mesh = jax.sharding.get_abstract_mesh()
  shards = 1 if mesh.empty else mesh.size
  parts = x.reshape(shards, n, -1, *x.shape[1:]).swapaxes(0, 1)
  return parts.reshape(n, -1, *x.shape[1:])
