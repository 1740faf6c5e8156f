"""Compiles a chunk's program ahead of its first step, and reports its cost."""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import NamedSharding

from monosem_jax.config import settings
from monosem_jax.device import hosts
from monosem_jax.device.cost import bytes_text, flops_text, hardware
from monosem_jax.device.mesh import SPECS

_CACHE_HIT = '/jax/compilation_cache/cache_hits'


@dataclasses.dataclass(frozen=True)
class Program:
  """A compiled chunk.

  Attributes:
    call: `call(state, *args) -> (state, stats)`, with `state` donated.
      Arguments must have the shapes and placement that it was compiled for.
    seconds: compile time.
    cached: whether it came from the compilation cache.
    arguments: bytes of the arguments on a device, by XLA.
    temporaries: bytes of temporary arrays on a device, by XLA.
    platform: cpu, gpu or tpu.
  """

  call: jax.stages.Compiled
  seconds: float
  cached: bool
  arguments: int | None
  temporaries: int | None
  platform: str

  def memory(self) -> str:
    """Returns XLA's memory figures as text."""
    backend = f'XLA ({self.platform})'
    if self.arguments is None or self.temporaries is None:
      return f'{backend}: no figures'
    return (
      f'{backend}: arguments {bytes_text(self.arguments)}, temporaries '
      f'{bytes_text(self.temporaries)}'
    )


def compile_chunk(chunk: Callable, state: Any, *args: Any) -> Program:
  """Compiles `chunk(state, *args) -> (state, stats)`.

  The returned state keeps its placement, so that the same program takes it at
  the next call; the stats are replicated on every device.

  Args:
    chunk: the function; `state` is donated.
    state: a pytree of arrays, or of jax.ShapeDtypeStruct with shardings.
    *args: further arguments, of the same kinds.
  """
  shardings = jax.tree.map(lambda x: x.sharding, state)
  mesh = jax.tree.leaves(shardings)[0].mesh
  hits = 0

  def note(event: str, **unused) -> None:
    nonlocal hits
    hits += event == _CACHE_HIT

  start = time.perf_counter()
  jax.monitoring.register_event_listener(note)
  try:
    compiled = (
      jax.jit(
        chunk,
        donate_argnums=0,
        out_shardings=(shardings, NamedSharding(mesh, SPECS.replicated)),
      )
      .lower(state, *args)
      .compile()
    )
  finally:
    jax.monitoring.unregister_event_listener(note)
  memory = compiled.memory_analysis()
  return Program(
    call=compiled,
    seconds=time.perf_counter() - start,
    cached=hits > 0,
    arguments=getattr(memory, 'argument_size_in_bytes', None),
    temporaries=getattr(memory, 'temp_size_in_bytes', None),
    platform=mesh.devices.flat[0].platform,
  )


def announce(
  program: Program, flops: float, steps: int, log: Callable[[str], None]
) -> None:
  """Logs a program's compile time, memory and FLOPs.

  Args:
    program: the compiled chunk.
    flops: FLOPs of its matrix products on each device.
    steps: training steps per chunk.
    log: takes the lines.
  """
  cached = ' (from the cache)' if program.cached else ''
  log(f'compiled in {program.seconds:.1f} s{cached}; {program.memory()}')
  log(
    f'a chunk, per device: {flops_text(flops)} of matrix products; a step: '
    f'{flops_text(flops / steps)}'
  )


def peak_flops(c: settings.Runtime, dtype: str) -> float:
  """Returns the peak FLOP/s of all devices for this dtype; 0 if unknown."""
  device = jax.devices()[0]
  known = hardware.find(device.device_kind)
  peak = c.peak_flops or (known.peak(dtype) if known else 0.0)
  return peak * jax.device_count()


def use_cache(c: settings.Runtime, log: Callable[[str], None]) -> None:
  """Turns on the cache of compiled programs, unless the config turns it off.

  If its directory cannot be written, a log line says so and the cache stays
  off.
  """
  path = c.compilation_cache
  if path == 'auto':
    path = os.environ.get('JAX_COMPILATION_CACHE_DIR') or _user_cache()
  if path:
    path = os.path.expanduser(path)
    try:
      pathlib.Path(path).mkdir(parents=True, exist_ok=True)
      with tempfile.TemporaryFile(dir=path):
        pass
    except OSError as e:
      log(f'runtime.compilation_cache: {path} cannot be used, cache off: {e}')
      path = ''
  jax.config.update('jax_compilation_cache_dir', path or None)


def _user_cache() -> str:
  base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  return os.path.join(base, 'monosem_jax', 'jax')


@contextlib.contextmanager
def profiled(
  c: settings.Runtime,
  directory: pathlib.Path,
  log: Callable[[str], None],
  call: Callable[..., Any],
) -> Iterator[Callable[..., Any]]:
  """Gives `call`, which profiles the chunks that the config selects.

  Only the first process is profiled.

  Args:
    c: `profile_start` and `profile_chunks` select the chunks.
    directory: folder of the profile.
    log: takes a line with that folder.
    call: a chunk's program.
  """
  if not c.profile_chunks or not hosts.first():
    yield call
    return
  calls = 0
  profile = contextlib.ExitStack()

  def counted(*args):
    nonlocal calls
    if calls == c.profile_start:
      profile.callback(log, f'profiled: {directory}')
      profile.enter_context(jax.profiler.trace(str(directory)))
    result = call(*args)
    calls += 1
    if calls == c.profile_start + c.profile_chunks:
      jax.block_until_ready(result)
      profile.close()
    return result

  with profile:
    yield counted
