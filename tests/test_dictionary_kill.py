"""Each activation is trained on once, through a SIGKILL and on two meshes.

The stand-ins of `counting` say which step trained on which
activation. One process runs the real loop on one mesh and is killed in the
second chunk; another goes on from its checkpoint on another mesh.
"""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np

CHUNKS = 3


def main(folder: pathlib.Path, data: int, feature: int, kill_in: int) -> None:
  """Runs the chunks that are not done yet; writes what each trained on."""
  import jax

  jax.config.update('jax_num_cpu_devices', 8)
  import counting as stand_in
  import jax.numpy as jnp

  from monosem_jax.config import settings
  from monosem_jax.device import mesh as meshes
  from monosem_jax.dictionary import train
  from monosem_jax.run import loop
  from monosem_jax.run.checkpoint import Checkpoints

  ids, c = stand_in.STORE * stand_in.T, stand_in.stream(micro_batch=16)
  dictionary = settings.Dictionary(
    features=ids, lr=0.0, resampling=settings.Resampling(steps=())
  )

  def init():
    return stand_in.counting_state(dictionary, ids)

  def observe(done, state):
    if done == kill_in:
      checkpoints.wait()  # there is one to go on from
      os.kill(os.getpid(), signal.SIGKILL)
    silent_F = np.asarray(state.dictionaries['d'].silent_F)
    np.save(folder / f'{done}.npy', silent_F)

  with stand_in.on_mesh((data, feature)) as mesh:
    compiled = train.make_chunk(c, {'d': dictionary}, stand_in.one_hot)
    checkpoints = Checkpoints(folder / 'checkpoints', 2)
    start, state = checkpoints.restore(meshes.like(mesh, init)) or (
      0,
      meshes.init_sharded(mesh, init),
    )
    print(f'starts behind chunk {start}')
    batches = list(stand_in.chunks(CHUNKS))[start:]
    loop.train(
      lambda state, *batch: compiled(state, jnp.ones(ids), *batch),
      state,
      (stand_in.place(mesh, *batch) for batch in batches),
      start=start,
      stop=CHUNKS,
      report=lambda done, *numbers: None,
      checkpoints=checkpoints,
      every=1,
      observe=observe,
    )


def run(folder: pathlib.Path, *numbers: int) -> subprocess.CompletedProcess:
  here = pathlib.Path(__file__)
  env = dict(os.environ, PYTHONPATH=f'{here.parents[1]}:{here.parent}')
  command = [sys.executable, __file__, str(folder), *map(str, numbers)]
  return subprocess.run(command, env=env, capture_output=True, text=True)


def trained_on(folder: pathlib.Path) -> np.ndarray:
  """step_KI: in chunk k, the step that trained on activation i, or -1."""
  steps = 64 * 4 // 64
  silent_KI = np.stack(
    [np.load(folder / f'{k}.npy') for k in range(1, CHUNKS + 1)]
  )
  return np.where(silent_KI < steps, steps - 1 - silent_KI, -1)


def test_a_kill_and_another_mesh_train_on_each_activation_once(tmp_path):
  killed = run(tmp_path, 8, 1, 2)
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  again = run(tmp_path, 4, 2, 0)
  assert again.returncode == 0, again.stderr
  assert 'starts behind chunk 1' in again.stdout
  step_KI = trained_on(tmp_path)
  # 3 chunks of 64 contexts are 2 epochs of 96, whose two slices of 4 positions
  # are all 8.
  np.testing.assert_array_equal((step_KI >= 0).sum(0), 1)
  undisturbed = tmp_path / 'undisturbed'
  undisturbed.mkdir()
  assert run(undisturbed, 8, 1, 0).returncode == 0
  np.testing.assert_array_equal(step_KI, trained_on(undisturbed))


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
