"""The host's loop over chunks, independent of what they train."""

import contextlib
import signal
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from monosem_jax.config.errors import Stopped
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.run.checkpoint import Checkpoints


class Signals:
  """Records SIGTERM and Ctrl-C, so that the current chunk can finish.

  A second Ctrl-C raises KeyboardInterrupt and ends the program at once.
  """

  def __init__(self) -> None:
    self.caught = 0

  def __enter__(self) -> 'Signals':
    self._before = {
      s: signal.signal(s, self._note) for s in (signal.SIGTERM, signal.SIGINT)
    }
    return self

  def __exit__(self, *unused: object) -> None:
    for s, handler in self._before.items():
      signal.signal(s, handler)

  def _note(self, signum: int, frame: types.FrameType | None) -> None:
    self.caught = signum
    signal.signal(signal.SIGINT, signal.default_int_handler)


@jax.jit
def finite(state: Any) -> jax.Array:
  """Returns whether every number of a state is finite.

  Checking the loss is not enough, since the last step of a chunk can produce
  weights that are not finite from a finite loss.
  """
  found = jnp.ones((), bool)
  for x in jax.tree.leaves(state):
    found &= jnp.isfinite(x).all()
  return found


def train(
  chunk: Callable[..., tuple[Any, Any]],
  state: Any,
  batches: Iterator[tuple[Any, ...]],
  *,
  start: int,
  stop: int,
  report: Callable[[int, Any, Any], None],
  checkpoints: Checkpoints,
  every: int,
  observe: Callable[[int, Any], None] = lambda done, state: None,
) -> Any:
  """Runs chunks `start` to `stop`; saves every `every` chunks and at the end.

  Args:
    chunk: `chunk(state, *batch) -> (state, stats)`, compiled, state donated.
    state: the state after `start` chunks.
    batches: the arguments of chunk `start` and of later chunks.
    start: number of chunks already done.
    stop: number of chunks at the end.
    report: `report(chunks_done, stats, finite)` gets each chunk's numbers on
      the host, in order, and whether the whole state after it is finite; it
      raises if something is not. The loop reports a chunk after it dispatches
      the next one, so that the device never waits for the host, but before a
      save, so that a state that is not finite is never saved.
    checkpoints: writes the state.
    every: chunks between saves.
    observe: `observe(chunks_done, state)` may read the state before it is
      donated; it must not block at every chunk.

  Returns:
    The state after `stop` chunks.

  Raises:
    Stopped: a signal arrived; the state is saved.
  """
  done = start
  waiting: tuple[int, Any, jax.Array] | None = None

  def settle() -> None:
    nonlocal waiting
    if waiting is not None:
      number, *numbers = waiting
      waiting = None
      report(number, *meshes.fetch(numbers))

  with Signals() as signals:
    with contextlib.closing(checkpoints):
      for done in range(start + 1, stop + 1):
        state, stats = chunk(state, *next(batches))
        settle()
        waiting = done, stats, finite(state)
        observe(done, state)
        # All processes stop if one must; they agree while the devices compute.
        stopping = hosts.largest(signals.caught)
        if done % every == 0 or done == stop or stopping:
          settle()
          checkpoints.save(done, state)
        if stopping:
          break
    # A signal after the last chunk counts too, since later work takes long.
    caught = hosts.largest(signals.caught)
  if caught:
    name = signal.Signals(caught).name
    raise Stopped(f'{name}: saved after chunk {done} of {stop}.', caught)
  return state
