"""The skeleton of a training, on a state that sums the batches it is given."""

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest
import runs

from monosem_jax.device import mesh as meshes
from monosem_jax.device.compile import compile_chunk
from monosem_jax.device.mesh import SPECS
from monosem_jax.run import training
from monosem_jax.run.artefact import Progress


class Batches:
  """Counts from where it is opened, and says when it is closed."""

  def __init__(self, start: int, opened: list):
    self.at, self.closed = start, False
    opened.append(self)

  def __iter__(self):
    return self

  def __next__(self) -> int:
    self.at += 1
    return self.at

  def close(self) -> None:
    self.closed = True


@pytest.fixture
def fit(tmp_path):
  """Trains by chunks of two steps; returns the sum, lines and batches."""

  def fit_to(steps: int):
    lines: list[str] = []
    opened: list[Batches] = []
    run = runs.at(tmp_path, 'checkpoint.every_chunks=2', log=lines.append)
    mesh = meshes.make_mesh(run.config.mesh)

    def chunk(state, factor, batch):
      total = state['total'] + factor * batch
      stats = {'loss': total[None], 'finite': jnp.isfinite(total)[None]}
      return {'total': total}, stats

    def put(x: float) -> jax.Array:
      return meshes.put(mesh, np.float32(x), SPECS.replicated)

    with jax.set_mesh(mesh):
      state, timing = training.fit(
        run,
        training.Training(
          name='lm/A',
          progress=Progress(tmp_path / 'checkpoints', 2, steps),
          mesh=mesh,
          init=lambda: {'total': jnp.zeros(())},
          start=lambda state: {'total': put(float(state['total']) + 1000)},
          program=lambda state: compile_chunk(chunk, state, put(1), put(1)),
          fixed=(put(2),),
          batches=lambda start: Batches(start, opened),
          place=lambda n: (put(n),),
          unit='tok',
          units_per_chunk=7,
          flops=64.0,
          precision=np.dtype('float32'),
          summarise=lambda stats: (
            {'loss': float(stats['loss'][0])},
            stats['finite'],
          ),
        ),
      )
    return float(state['total']), lines, opened, timing

  return fit_to


def test_a_new_training_starts_from_data_and_a_longer_one_goes_on(
  fit, tmp_path
):
  total, lines, (batches,), timing = fit(10)
  assert total == 1000 + 2 * (1 + 2 + 3 + 4 + 5)
  assert lines[0] == 'lm/A: 0 of 10 steps are done'
  assert lines[1].startswith('lm/A: compiled in ')
  assert batches.closed
  assert timing['units_per_second'] > 0
  assert sorted(p.name for p in (tmp_path / 'checkpoints').iterdir())[-1] == '5'
  records = program.records(tmp_path, 'lm/A')
  assert [r['step'] for r in records] == [2, 4, 6, 8, 10]
  assert records[1]['loss'] == 1000 + 2 * (1 + 2)

  total, lines, (batches,), _ = fit(14)
  assert lines[0] == 'lm/A: 10 of 14 steps are done'
  assert total == 1000 + 2 * sum(range(1, 8))
  assert batches.closed
  assert [r['step'] for r in program.records(tmp_path, 'lm/A')] == [
    *range(2, 15, 2)
  ]
