"""Compile-only targets: accelerators that need not be present.

A target is named like a slice or a board: `v5e:2x2`, `v5p:4x4x4`, `h100:8`.
The TPU compiler (libtpu) and XLA for NVIDIA compile for them on any Linux
x86-64 machine, without the chip and without CUDA.
"""

import contextlib
import dataclasses
import logging
import math
import os
import re

import jax
from jax.experimental import topologies

from monosem_jax.config.errors import UserError, nearest
from monosem_jax.device.cost import hardware
from monosem_jax.device.cost.hardware import Hardware


@dataclasses.dataclass(frozen=True)
class Target:
  """Several devices of one kind.

  Attributes:
    name: the name that the user gave.
    hardware: figures of each device.
    devices: devices for a mesh; they hold no arrays and run no programs.
  """

  name: str
  hardware: Hardware
  devices: list[jax.Device]


@dataclasses.dataclass(frozen=True)
class _Gpu:
  """The properties of a GPU that its compiler needs.

  They are the device properties that CUDA reports, as in the specs of OpenXLA
  (https://github.com/openxla/xla, xla/backends/gpu/target_config/specs).
  """

  hardware: Hardware
  name: str
  capability: tuple[int, int]
  cores: int
  clock_ghz: float
  l2_bytes: int
  shared_memory_per_core: int
  shared_memory_per_block: int

  def spec(self) -> str:
    """Returns the GpuTargetConfigProto as text."""
    major, minor = self.capability
    return f"""
      gpu_device_info {{
        name: "{self.name}"
        device_vendor: "NVIDIA Corporation"
        cuda_compute_capability {{ major: {major} minor: {minor} }}
        core_count: {self.cores}
        clock_rate_ghz: {self.clock_ghz}
        memory_bandwidth: {self.hardware.bandwidth:.0f}
        device_memory_size: {self.hardware.memory:.0f}
        l2_cache_size: {self.l2_bytes}
        shared_memory_per_core: {self.shared_memory_per_core}
        shared_memory_per_block: 49152
        shared_memory_per_block_optin: {self.shared_memory_per_block}
        threads_per_block_limit: 1024
        threads_per_core_limit: 2048
        threads_per_warp: 32
        fpus_per_core: {64 if self.capability == (8, 0) else 128}
        registers_per_core_limit: 65536
        registers_per_block_limit: 65536
        block_dim_limit_x: 2147483647
        block_dim_limit_y: 65535
        block_dim_limit_z: 65535
        thread_dim_limit_x: 1024
        thread_dim_limit_y: 1024
        thread_dim_limit_z: 64
        driver_version: "13.0.0"
        runtime_version: "13.0.0"
        compile_time_toolkit_version: "13.0.0"
        dnn_version: "9.10.0"
      }}
      platform_name: "CUDA"
      dnn_version_info {{ major: 9 minor: 10 }}
      device_description_str: "{self.name}"
    """


_TPUS = {
  'v4': hardware.TPU_V4,
  'v5e': hardware.TPU_V5E,
  'v5p': hardware.TPU_V5P,
  'v6e': hardware.TPU_V6E,
}
_MB = 2**20
_GPUS = {
  'a100': _Gpu(
    *(hardware.A100, 'NVIDIA A100-SXM4-80GB', (8, 0), 108, 1.41),
    *(40 * _MB, 167_936, 166_912),
  ),
  'h100': _Gpu(
    *(hardware.H100, 'NVIDIA H100 80GB HBM3', (9, 0), 132, 1.98),
    *(50 * _MB, 233_472, 232_448),
  ),
  'h200': _Gpu(
    *(hardware.H200, 'NVIDIA H200', (9, 0), 132, 1.98),
    *(50 * _MB, 233_472, 232_448),
  ),
  'b200': _Gpu(
    *(hardware.B200, 'NVIDIA B200', (10, 0), 148, 1.965),
    *(132_644_864, 233_472, 232_448),
  ),
}
# GPUs per host, connected by NVLink.
_PER_HOST = 8


def find(name: str) -> Target:
  """Returns the devices of a target.

  Args:
    name: `v5e:2x2` (chips along each side of a slice) or `h100:8` (GPUs).

  Raises:
    UserError: unknown target, or its compiler is not installed.
  """
  kind, _, size = name.partition(':')
  known = (*_TPUS, *_GPUS)
  if kind not in known:
    raise UserError(
      f'--target={name}: unknown hardware {kind!r}{nearest(kind, known)}; '
      f'known are {", ".join(known)}.'
    )
  of = _tpu if kind in _TPUS else _gpu
  # Local accelerators must not be used.
  jax.config.update('jax_platforms', 'cpu')
  try:
    devices = of(name, kind, size)
  except (RuntimeError, NotImplementedError) as e:
    reason = str(e).partition('\n')[0]
    if 'not installed' not in reason and 'not implemented' not in reason:
      raise UserError(f'--target={name}: {reason}') from e
    raise UserError(
      f'--target={name}: its compiler is not installed: pip install '
      "'monosem_jax[targets]' (Linux, x86-64), in the version of jax."
    ) from e
  either = _TPUS.get(kind) or _GPUS[kind].hardware
  return Target(name, either, list(devices))


def _tpu(name: str, kind: str, size: str) -> list[jax.Device]:
  if not re.fullmatch(r'\d+(x\d+){1,2}', size):
    raise UserError(
      f'--target={name}: give the chips along each side, as in {kind}:2x2.'
    )
  # The metadata server, which would describe a slice, must not be queried.
  for key, value in (
    ('TPU_SKIP_MDS_QUERY', '1'),
    ('TPU_WORKER_HOSTNAMES', 'localhost'),
    ('TPU_ACCELERATOR_TYPE', 'v5litepod-4'),
    # Several compilers may run at once, unlike users of a chip.
    ('ALLOW_MULTIPLE_LIBTPU_LOAD', '1'),
  ):
    os.environ.setdefault(key, value)
  sides = [int(n) for n in size.split('x')]
  # A host has four chips, unless the slice has fewer.
  fewer = math.prod(sides) < 4
  host = {'chips_per_host_bounds': [*sides, 1][:3]} if fewer else {}
  with _quiet():
    return topologies.get_topology_desc(
      topology_name=f'{kind}:{size}', platform='tpu', **host
    ).devices


def _gpu(name: str, kind: str, size: str) -> list[jax.Device]:
  if not re.fullmatch(r'[1-9]\d*', size):
    raise UserError(
      f'--target={name}: give the number of GPUs, as in {kind}:8.'
    )
  n = int(size)
  hosts, rest = divmod(n, _PER_HOST)
  if hosts and n != _PER_HOST and rest:
    raise UserError(
      f'--target={name}: a host has {_PER_HOST} GPUs; give a multiple of that.'
    )
  sides = f'1x1x{n}' if n <= _PER_HOST else f'1x{hosts}x{_PER_HOST}'
  with _quiet():
    return topologies.get_topology_desc(
      topology_name=kind,
      platform='cuda',
      topology=sides,
      target_config=_GPUS[kind].spec(),
    ).devices


@contextlib.contextmanager
def _quiet():
  """Silences the NVIDIA plugin's warning that no GPU is present."""
  log = logging.getLogger('jax._src.xla_bridge')
  before = log.level
  log.setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    log.setLevel(before)
