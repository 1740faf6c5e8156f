"""Published figures of accelerators: FLOP/s, memory, bandwidth, links.

FLOP/s are dense (no structured sparsity). `float32` is the rate of a float32
product under jax's default precision: one bfloat16 pass on a TPU, TF32 on a GPU
(https://docs.jax.dev/en/latest/201/precision.html). `link` counts all links of
a device in one direction: half of a "bidirectional" figure. A maker's GB is
10^9 bytes. `clock` is the peak divided by the FLOPs of all matrix units per
cycle: a TPU has 8 (v4, v5p) or 4 units of 128 x 128 (v6e: 256 x 256)
multiply-adds.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Hardware:
  """The figures of one device.

  Attributes:
    name: its maker's name for it.
    bfloat16: peak FLOP/s of bfloat16 products.
    float32: peak FLOP/s of float32 products.
    memory: bytes of memory.
    bandwidth: memory bandwidth, bytes/s.
    link: bandwidth to other devices, bytes/s.
    clock: clock of the matrix units that reaches `bfloat16`, Hz; 0 if unknown.
  """

  name: str
  bfloat16: float
  float32: float
  memory: float
  bandwidth: float
  link: float
  clock: float = 0.0

  def peak(self, dtype: str) -> float:
    """Returns the peak FLOP/s of products of this dtype; 0 if unknown."""
    return getattr(self, dtype, 0.0)


def _tpu(name, flops, memory, bandwidth, link, clock) -> Hardware:
  return Hardware(name, flops, flops, memory, bandwidth, link, clock)


# https://docs.cloud.google.com/tpu/docs/v4: 275 TFLOPs, 32 GiB, 1,200 GBps; its
# six links are 50 GB/s each way (Jouppi et al. 2023, arXiv:2304.01433).
TPU_V4 = _tpu('TPU v4', 275e12, 32 * 2**30, 1.2e12, 300e9, 1.05e9)
# https://docs.cloud.google.com/tpu/docs/v5e: 197 TFLOPs, 16 GB, 819 GBps, 400
# GBps bidirectional.
TPU_V5E = _tpu('TPU v5e', 197e12, 16e9, 819e9, 200e9, 1.5e9)
# https://docs.cloud.google.com/tpu/docs/v5p-training: 459 TFLOPs, 95 GB, 2,765
# GBps, 1,200 GBps bidirectional.
TPU_V5P = _tpu('TPU v5p', 459e12, 95e9, 2.765e12, 600e9, 1.75e9)
# https://docs.cloud.google.com/tpu/docs/v6e: 918 TFLOPs, 32 GB, 1,600 GBps,
# 3,200 Gbps.
TPU_V6E = _tpu('TPU v6e', 918e12, 32e9, 1.6e12, 400e9, 1.75e9)
# https://www.nvidia.com/en-us/data-center/a100: BF16 312 and TF32 156 TFLOPS
# without sparsity, 80 GB, 2,039 GB/s (40 GB: 1,555), NVLink 600 GB/s.
A100 = Hardware('A100 SXM 80 GB', 312e12, 156e12, 80e9, 2.039e12, 300e9)
A100_40 = Hardware('A100 SXM 40 GB', 312e12, 156e12, 40e9, 1.555e12, 300e9)
# https://www.nvidia.com/en-us/data-center/h100: SXM, BF16 1,979 and TF32 989
# TFLOPS with sparsity, half of it without; 80 GB, 3.35 TB/s, NVLink 900 GB/s.
H100 = Hardware('H100 SXM', 989.5e12, 494.5e12, 80e9, 3.35e12, 450e9)
# https://www.nvidia.com/en-us/data-center/h200: as the H100; 141 GB, 4.8 TB/s.
H200 = Hardware('H200 SXM', 989.5e12, 494.5e12, 141e9, 4.8e12, 450e9)
# https://www.nvidia.com/en-us/data-center/hgx: of an HGX B200's eight, BF16 36
# and TF32 18 PFLOPS with sparsity, half of it without, 1.4 TB; 8 TB/s and
# NVLink 1.8 TB/s each.
B200 = Hardware('B200', 2.25e15, 1.125e15, 180e9, 8e12, 900e9)

# By `jax.Device.device_kind`. TPU kinds are those of jax's own table,
# jax/_src/pallas/mosaic/tpu_info.py; GPUs have their marketing names. PCIe and
# NVL boards of the same chips are slower and are left out.
_BY_KIND = {
  'TPU v4': TPU_V4,
  'TPU v5 lite': TPU_V5E,
  'TPU v5e': TPU_V5E,
  'TPU v5': TPU_V5P,
  'TPU v5p': TPU_V5P,
  'TPU v6 lite': TPU_V6E,
  'TPU v6e': TPU_V6E,
  'NVIDIA A100-SXM4-80GB': A100,
  'NVIDIA A100-SXM4-40GB': A100_40,
  'NVIDIA H100 80GB HBM3': H100,
  'NVIDIA H200': H200,
  'NVIDIA B200': B200,
}


def find(device_kind: str) -> Hardware | None:
  """Returns the hardware with this `device_kind`, or None."""
  return _BY_KIND.get(device_kind)
