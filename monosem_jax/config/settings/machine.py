"""Settings of the machine, which change no result."""

import dataclasses

from monosem_jax.config.settings.fields import free


@dataclasses.dataclass(frozen=True)
class Mesh:
  """Devices along each axis; -1 takes what is left."""

  data: int = free(-1)
  feature: int = free(1)


@dataclasses.dataclass(frozen=True)
class Runtime:
  """How the program runs on a machine, whatever it computes."""

  # Where compiled programs are kept for the next run: a directory; auto:
  # JAX_COMPILATION_CACHE_DIR, or else the user's cache directory; empty: off.
  compilation_cache: str = free('auto')
  # A profile of so many chunks (0: none) after the first `profile_start` of a
  # session goes to profile/ in the work directory, for TensorBoard or XProf.
  profile_start: int = free(2)
  profile_chunks: int = free(0)
  # Peak FLOP/s of a device, for the utilisation; 0: that of a device known by
  # name, and else no utilisation.
  peak_flops: float = free(0.0)
