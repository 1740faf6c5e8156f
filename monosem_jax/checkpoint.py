"""Checkpoints: atomic, written in the background, the last whole one restored.

The one module that knows orbax. A state is any pytree of arrays; it is stored
as a flat dict from path to array, so that no class of ours has to be known when
a checkpoint is read.
"""

import contextlib
import gc
import logging
import pathlib
import sys
import warnings
from typing import Any

import jax

from monosem_jax.errors import UserError, full_disk

try:  # orbax moved its v1 API out of `experimental` between releases
  import orbax.checkpoint.v1 as ocp
except ImportError:
  import orbax.checkpoint.experimental.v1 as ocp

# What fails is raised to us, and said in words; the tracebacks that are logged
# besides, from several threads, would bury it.
for _name in ('absl', 'asyncio'):
  logging.getLogger(_name).setLevel(logging.CRITICAL)


def _flat(tree) -> dict[str, Any]:
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


class Checkpoints:
  """The checkpoints of one run, by number of chunks done."""

  def __init__(self, directory: pathlib.Path, keep: int):
    directory.mkdir(parents=True, exist_ok=True)
    self._directory = directory
    self._checkpointer = ocp.training.Checkpointer(
      directory.resolve(),
      preservation_policy=ocp.training.preservation_policies.LatestN(keep),
      cleanup_tmp_directories=True,
    )
    self._saving = None

  def save(self, chunk: int, state) -> None:
    """Starts to write `state`; the copy is taken before this returns.

    Raises:
      UserError: this save or the one before it ran out of disk.
    """
    self.wait()
    with self._disk_errors():
      self._saving = self._checkpointer.save_checkpointables_async(
        chunk, {'state': _flat(state)}
      )

  def wait(self) -> None:
    """Waits for the write in progress, and raises what went wrong in it."""
    saving, self._saving = self._saving, None
    if saving is not None:
      with self._disk_errors():
        saving.result()

  def restore(self, like, log=print):
    """Restores the newest checkpoint that can be read.

    Args:
      like: a pytree of jax.ShapeDtypeStruct, with the shardings wanted.
      log: told of checkpoints that cannot be read; they are deleted.

    Returns:
      The number of chunks done and the state, or None if there is none.

    Raises:
      UserError: there are checkpoints, but none can be read.
    """
    wanted = _flat(like)
    found = sorted((c.step for c in self._checkpointer.checkpoints), key=int)
    for chunk in reversed(found):
      with _coroutines_dropped():
        loaded, reason = self._load(chunk, wanted)
      if loaded is None:
        log(
          f'checkpoint {self._directory / str(chunk)} cannot be read, and '
          f'is passed over: {reason}'
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

  def _load(self, chunk, wanted: dict[str, Any]):
    """A checkpoint's arrays and '', or None and the reason."""
    try:
      state = {'state': wanted}
      return self._checkpointer.load_checkpointables(chunk, state)['state'], ''
    # Orbax raises anything from ValueError to its own NoEntryError.
    except Exception as e:
      return None, str(e).partition('\n')[0][:200]

  def close(self) -> None:
    """Waits for the last write and lets go of the directory."""
    try:
      self.wait()
    finally:
      with contextlib.suppress(Exception):  # a failed write was raised above
        self._checkpointer.close()

  @contextlib.contextmanager
  def _disk_errors(self):
    try:
      yield
    except Exception as e:
      if full_disk(e):
        raise UserError(
          f'disk full: no checkpoint could be written to {self._directory}. '
          'Make room and start again with the same command; the run goes on '
          'from the checkpoint before.'
        ) from e
      raise


@contextlib.contextmanager
def _coroutines_dropped():
  """A load that fails leaves coroutines behind; Python complains of each."""
  before = sys.unraisablehook
  sys.unraisablehook = lambda unraisable: None
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore', RuntimeWarning)
      yield
      gc.collect()
  finally:
    sys.unraisablehook = before
