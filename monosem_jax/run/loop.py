"""The host's loop over chunks, ignorant of what they train."""

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
  """Notes SIGTERM and Ctrl-C, so that the chunk under way is finished.

  A second Ctrl-C is Python's own and ends the program at once.
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
  """Whether every number of a state is finite. A loss may not show it yet:
  the last step of a chunk can spoil the weights after a finite loss."""
  found = jnp.ones((), bool)
  for x in jax.tree.leaves(state):
    found &= jnp.isfinite(x).all()
  return found


def run(
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
  """Runs chunks `start` to `stop`, saving at every `every`-th and at the end.

  Args:
    chunk: `chunk(state, *batch) -> (state, stats)`, compiled, state donated.
    state: the state after `start` chunks.
    batches: the arguments of chunk `start` and of those after it.
    start: chunks done.
    stop: chunks wanted.
    report: `report(chunks_done, stats, finite)` is called in order, with
      numbers on the host, and whether all of the state after the chunk is
      finite; it raises if they are not. Called for a chunk only after the
      next one is dispatched, so that the device never waits for the host; but
      before a save, so that a poisoned state is never saved.
    checkpoints: where the state goes.
    every: chunks between saves.
    observe: `observe(chunks_done, state)` is called while the state is at hand;
      it must not wait for it at every chunk.

  Returns:
    The state after `stop` chunks.

  Raises:
    Stopped: a signal came; the state is saved.
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
        # All processes stop if one has to; they agree while the devices work.
        stopping = hosts.largest(signals.caught)
        if done % every == 0 or done == stop or stopping:
          settle()
          checkpoints.save(done, state)
        if stopping:
          break
    # Also where it came too late to stop a chunk: what follows takes long, too.
    caught = hosts.largest(signals.caught)
  if caught:
    name = signal.Signals(caught).name
    raise Stopped(f'{name}: saved after chunk {done} of {stop}.', caught)
  return state
