"""Atomic checkpoints, written in the background.

No other module uses orbax. A state is any pytree of arrays. It is stored as a
flat dict from path to array, so that reading it needs none of our classes.
"""

import contextlib
import gc
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

from monosem_jax.config.errors import UserError, full_disk
from monosem_jax.device import hosts
from monosem_jax.run import patches

try:  # orbax moved its v1 API out of `experimental` between releases
  import orbax.checkpoint.v1 as ocp
except ImportError:
  import orbax.checkpoint.experimental.v1 as ocp

# Messages of a file system that refuses writes, in Python and TensorStore.
_REFUSALS = (
  'Read-only file system',
  'Permission denied',
  'Operation not permitted',
  'Disk quota exceeded',
)


def _flat(tree: Any) -> dict[str, Any]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


class Checkpoints:
  """The checkpoints of one training, by the number of chunks done."""

  def __init__(self, directory: pathlib.Path, keep: int):
    patches.apply()
    self._directory = directory
    with self._disk_errors():
      directory.mkdir(parents=True, exist_ok=True)
      self._checkpointer = self._open(keep)
    self._saving = None

  def _open(self, keep: int) -> ocp.training.Checkpointer:
    return ocp.training.Checkpointer(
      self._directory.resolve(),
      # The default asks jax about preemptions; the loop handles signals itself.
      save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(
        1
      ),
      preservation_policy=ocp.training.preservation_policies.LatestN(keep),
      cleanup_tmp_directories=True,
    )

  def save(self, chunk: int, state: Any) -> None:
    """Starts to write `state`, and copies it before returning.

    Raises:
      UserError: this save or the previous one could not be written.
    """
    self.wait()
    context = ocp.Context()
    # If one orbax thread cannot make a folder, the others wait 300 s for it and
    # keep the process alive. So the folder is made before this returns.
    context.asynchronous.create_directories_asynchronously = False
    with self._disk_errors(), context:
      self._saving = self._checkpointer.save_checkpointables_async(
        chunk, {'state': _flat(state)}
      )

  def wait(self) -> None:
    """Waits for the write in progress, and raises its error."""
    saving, self._saving = self._saving, None
    if saving is not None:
      with self._disk_errors():
        saving.result()

  def restore(
    self, like: Any, log: Callable[[str], object] = print
  ) -> tuple[int, Any] | None:
    """Restores the newest checkpoint that can be read.

    Args:
      like: a pytree of jax.ShapeDtypeStruct with shardings.
      log: takes a line per unreadable checkpoint, which is then deleted.

    Returns:
      The number of chunks done and the state, or None without checkpoints.

    Raises:
      UserError: checkpoints exist, but none can be read.
    """
    wanted = _flat(like)
    found = hosts.on_first_process(
      lambda: sorted(int(c.step) for c in self._checkpointer.checkpoints)
    )
    for chunk in reversed(found):
      with _coroutines_dropped():
        loaded, reason = self._load(chunk, wanted)
      if hosts.largest(int(loaded is None)):
        log(
          f'checkpoint {self._directory / str(chunk)} cannot be read '
          f'and is skipped: {reason or "another process failed to read it"}'
        )
        continue
      for broken in found[found.index(chunk) + 1 :]:
        self._checkpointer.delete(broken)  # its number will be written again
      leaves = [loaded[path] for path in wanted]
      return chunk, jax.tree.unflatten(jax.tree.structure(like), leaves)
    if found:
      raise UserError(
        f'none of the checkpoints in {self._directory} can be read; delete the '
        'folder to start this stage again.'
      )
    return None

  def _load(self, chunk: int, wanted: dict[str, Any]) -> tuple[Any, str]:
    """Returns a checkpoint's arrays and '', or None and the reason."""
    try:
      state = {'state': wanted}
      return self._checkpointer.load_checkpointables(chunk, state)['state'], ''
    # Orbax raises anything from ValueError to its own NoEntryError.
    except Exception as e:
      return None, str(e).partition('\n')[0][:200]

  def close(self) -> None:
    """Waits for the last write and closes the directory."""
    try:
      self.wait()
    finally:
      with contextlib.suppress(Exception):  # a failed write was raised above
        self._checkpointer.close()

  @contextlib.contextmanager
  def _disk_errors(self) -> Iterator[None]:
    try:
      yield
    except Exception as e:
      if full_disk(e):
        raise UserError(
          f'disk full: no checkpoint could be written to {self._directory}. '
          'Free some space and run the same command again; it continues from '
          'the previous checkpoint.'
        ) from e
      if reason := _refusal(e):
        raise UserError(
          f'no checkpoint could be written to {self._directory}: {reason}. '
          'Make it writable and run the same command again; it continues from '
          'the previous checkpoint.'
        ) from e
      raise


def _refusal(error: BaseException | None) -> str:
  """Returns why a file system refused a write; '' for other errors."""
  while error is not None:
    for text in _REFUSALS:
      if text in str(error):
        return text
    error = error.__cause__ or error.__context__
  return ''


@contextlib.contextmanager
def _coroutines_dropped() -> Iterator[None]:
  """Hides Python's warnings about the coroutines that a failed load leaves."""
  before = sys.unraisablehook
  sys.unraisablehook = lambda unraisable: None
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore', RuntimeWarning)
      yield
      gc.collect()
  finally:
    sys.unraisablehook = before
