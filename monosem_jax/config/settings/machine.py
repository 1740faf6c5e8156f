"""Settings of the machine; they change no result."""

import dataclasses

from monosem_jax.config.settings.fields import free


@dataclasses.dataclass(frozen=True)
class Mesh:
  """The number of devices along each axis; -1 takes the remaining devices."""

  # Devices that contexts and activation rows are spread over.
  data: int = free(-1)
  # Devices that the features of a dictionary are spread over.
  feature: int = free(1)


@dataclasses.dataclass(frozen=True)
class Runtime:
  """Caching, profiling and utilisation on this machine."""

  # Directory of compiled programs for later runs. auto:
  # JAX_COMPILATION_CACHE_DIR, or else the user's cache directory; empty: off.
  compilation_cache: str = free('auto')
  # Chunks of a session that run before the profile starts.
  profile_start: int = free(2)
  # Chunks that are profiled (0: none). The profile goes to profile/ in the work
  # directory, for TensorBoard or XProf.
  profile_chunks: int = free(0)
  # Peak FLOP/s of a device, for the utilisation. 0: look the device up by name;
  # an unknown device gets no utilisation.
  peak_flops: float = free(0.0)
