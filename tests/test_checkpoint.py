"""Checkpoints: whole or passed over, never half."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest

from monosem_jax.config.errors import UserError
from monosem_jax.run.checkpoint import Checkpoints


def _state(k: int):
  return {
    'w': jnp.arange(4_096.0).reshape(64, 64) * k,
    'deep': ({'n': jnp.asarray(k)}, [jnp.full(3, k, jnp.bfloat16)]),
  }


def _like():
  place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
    jax.eval_shape(lambda: _state(1)),
  )


def _save(directory, *numbers, keep=3):
  checkpoints = Checkpoints(directory, keep)
  for k in numbers:
    checkpoints.save(k, _state(k))
  checkpoints.close()


def _restore(directory):
  lines = []
  checkpoints = Checkpoints(directory, 3)
  found = checkpoints.restore(_like(), lines.append)
  checkpoints.close()
  return found, lines


def _same(found, k):
  number, state = found
  assert number == k
  jax.tree.map(np.testing.assert_array_equal, state, _state(k))
  assert jax.tree.structure(state) == jax.tree.structure(_state(k))


def test_the_newest_is_restored_and_no_more_than_asked_for_are_kept(tmp_path):
  _save(tmp_path / 'c', 1, 2, 5, keep=2)
  found, lines = _restore(tmp_path / 'c')
  _same(found, 5)
  assert lines == []
  assert sorted(p.name for p in (tmp_path / 'c').iterdir()) == ['2', '5']


def test_none_is_not_an_error(tmp_path):
  assert _restore(tmp_path / 'c') == (None, [])


def _kinds(directory: pathlib.Path) -> list[str]:
  return [
    str(p.relative_to(directory))
    for p in sorted(directory.rglob('*'))
    if p.is_file() and p.stat().st_size
  ]


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  directory = tmp_path_factory.mktemp('saved') / 'c'
  _save(directory, 1, 2, 3)
  return directory


def test_a_newest_that_is_cut_short_anywhere_is_passed_over(saved, tmp_path):
  damaged = 0
  for i, name in enumerate(_kinds(saved / '3')):
    copy = tmp_path / str(i)
    shutil.copytree(saved, copy)
    os.truncate(copy / '3' / name, (copy / '3' / name).stat().st_size // 2)
    found, lines = _restore(copy)
    if found[0] == 3:  # a file that a restore does not need
      _same(found, 3)
      continue
    damaged += 1
    _same(found, 2)
    assert len(lines) == 1
    assert f'{copy / "3"} cannot be read' in lines[0]
    # Its number can be written again.
    _save(copy, 3)
    _same(_restore(copy)[0], 3)
  assert damaged >= 3


@pytest.mark.parametrize('what', ['whole folder', 'arrays'])
def test_a_newest_that_is_emptied_is_passed_over(saved, tmp_path, what):
  copy = tmp_path / 'c'
  shutil.copytree(saved, copy)
  shutil.rmtree(copy / '3' / ('state' if what == 'whole folder' else 'state/d'))
  found, _ = _restore(copy)
  _same(found, 2)


def test_checkpoints_of_which_none_can_be_read_are_an_error(saved, tmp_path):
  copy = tmp_path / 'c'
  shutil.copytree(saved, copy)
  for path in copy.glob('*/state/_METADATA'):
    path.write_text('')
  checkpoints = Checkpoints(copy, 3)
  with pytest.raises(UserError, match='none of the checkpoints') as e:
    checkpoints.restore(_like(), lambda line: None)
  checkpoints.close()
  assert str(copy) in str(e.value)
  assert len(list(copy.iterdir())) == 3  # for a person to look at


def test_what_a_killed_save_left_is_not_taken_for_a_checkpoint(saved, tmp_path):
  # Kill a process in the middle of a save, at the moment of its rename.
  copy = tmp_path / 'c'
  shutil.copytree(saved, copy)
  code = (
    'import os, pathlib, signal, sys\n'
    'import jax.numpy as jnp\n'
    'from monosem_jax.run.checkpoint import Checkpoints\n'
    'rename = os.rename\n'
    'def kill(*args, **kwargs): os.kill(os.getpid(), signal.SIGKILL)\n'
    'for name in ("rename", "replace", "renames"): setattr(os, name, kill)\n'
    'pathlib.Path.rename = pathlib.Path.replace = kill\n'
    'c = Checkpoints(pathlib.Path(sys.argv[1]), 3)\n'
    'c.save(4, {"w": jnp.ones((64, 64))})\n'
    'c.close()\n'
    'print("survived")\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, str(copy)],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=60,
  )
  if 'survived' in done.stdout:
    pytest.skip('orbax renames in another way in this release')
  assert done.returncode == -9, done.stderr
  left = {p.name for p in copy.iterdir()} - {'1', '2', '3'}
  assert left, 'the kill came too early to leave anything'
  found, lines = _restore(copy)
  _same(found, 3)
  assert lines == []
  assert {p.name for p in copy.iterdir()} == {'1', '2', '3'}


def test_a_save_does_not_see_what_happens_to_the_state_behind_it(tmp_path):
  # The loop donates the state to the next chunk while the save is under way.
  step = jax.jit(lambda s: jax.tree.map(lambda x: x * 0, s), donate_argnums=0)
  checkpoints = Checkpoints(tmp_path / 'c', 2)
  state = _state(7)
  checkpoints.save(7, state)
  step(state)
  checkpoints.close()
  _same(_restore(tmp_path / 'c')[0], 7)


def test_a_restored_state_lies_where_it_is_asked_for(tmp_path):
  _save(tmp_path / 'c', 1)
  mesh = jax.make_mesh((8,), ('x',), axis_types=(jax.sharding.AxisType.Auto,))
  spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('x'))
  like = _like()
  like['w'] = jax.ShapeDtypeStruct((64, 64), jnp.float32, sharding=spread)
  checkpoints = Checkpoints(tmp_path / 'c', 2)
  number, state = checkpoints.restore(like)
  checkpoints.close()
  _same((number, state), 1)
  assert state['w'].sharding == spread


def test_a_save_that_cannot_make_its_folder_leaves_no_thread_waiting(
  tmp_path, monkeypatch
):
  checkpoints = Checkpoints(tmp_path / 'c', 3)
  checkpoints.save(1, _state(1))
  checkpoints.wait()

  def refused(path, *unused, **unused_too):
    raise OSError(errno.EROFS, 'Read-only file system', str(path))

  with monkeypatch.context() as m:
    m.setattr(os, 'mkdir', refused)
    m.setattr(os, 'makedirs', refused)
    with pytest.raises(UserError, match='Read-only file system'):
      checkpoints.save(2, _state(2))
      checkpoints.wait()
  assert not any(map(_awaits_a_signal, threading.enumerate()))
  checkpoints.close()
  _same(_restore(tmp_path / 'c')[0], 1)


def _awaits_a_signal(thread: threading.Thread) -> bool:
  """Of orbax; a thread of a pool that idles holds nobody up."""
  frame = sys._current_frames().get(thread.ident)
  names = [frame.f_code.co_name for frame, _ in traceback.walk_stack(frame)]
  return 'wait_for_signals' in names
