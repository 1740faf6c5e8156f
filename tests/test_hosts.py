"""Runs of two processes of two devices each, beside those of one."""

import functools
import json
import math
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import program
import pytest
import safetensors.numpy
from pair import Pair, environment, pair, the_error

from monosem_jax.stages.analysis.declaration import analyses

# Of float32 runs that add up in another order; relative to the largest entry.
RTOL = 1e-4


def finish(out: pathlib.Path, stage: str, workdir: pathlib.Path) -> Pair:
  with pair(out, stage, workdir) as run:
    assert run.wait() == [0, 0], run.said(0) + run.said(1)
  assert not list(out.glob('monosem_*.log'))
  return run


@functools.cache
def alone() -> pathlib.Path:
  """All stages, in one process of four devices."""

  def make(workdir):
    for stage in ('tokens', 'lm', 'sae', 'features', 'site', 'analysis'):
      done = subprocess.run(
        program.command(stage, workdir),
        env=environment(4, workdir.parent),
        capture_output=True,
        text=True,
        timeout=240,
      )
      assert done.returncode == 0, done.stderr

  return program.once('hosts_alone', make)


@functools.cache
def together() -> pathlib.Path:
  """All stages, in two processes of two devices; said0 and said1 beside it."""

  def make(workdir):
    finish(workdir.with_name('hosts_said'), 'all', workdir)

  return program.once('hosts_together', make)


def tensors(workdir: pathlib.Path) -> dict[str, np.ndarray]:
  return {
    f'{path.relative_to(workdir)}: {name}': x
    for path in sorted(workdir.rglob('*.safetensors'))
    for name, x in safetensors.numpy.load_file(path).items()
  }


@pytest.mark.slow
def test_two_processes_find_what_one_finds():
  want, workdir = alone(), together()
  a, b = tensors(want), tensors(workdir)
  assert a.keys() == b.keys()
  assert any('snapshots' in key for key in a)
  for key, x in a.items():
    if x.dtype.kind in 'iu':  # what fired where, examples, token ids
      np.testing.assert_array_equal(x, b[key], err_msg=key)
    else:
      wide = 2e-3 if x.dtype == np.float16 else RTOL
      far = np.abs(x - b[key].astype(x.dtype)) / (np.abs(x).max() or 1)
      # Adam's first steps bring a gradient that is rounding to full size.
      assert (far > wide).mean() <= 1e-3, key
      assert far.max() <= 10 * wide, key
  for run in ('lm/A', 'sae/A'):
    here, there = program.records(want, run), program.records(workdir, run)
    assert [r['step'] for r in here] == [r['step'] for r in there]
    for r, s in zip(here, there, strict=True):
      for key in r.keys() & {'loss', 'A1/loss', 'A1/l0', 'A1/mse'}:
        assert r[key] == pytest.approx(s[key], rel=1e-4)
      for key in r.keys() & {'A1/resampled', 'A1/density'}:
        assert r[key] == s[key]
  assert any(any(r['A1/resampled']) for r in program.records(want, 'sae/A'))
  numbers = program.report(want), program.report(workdir)
  for name in ('val_loss', 'steps', 'tokens'):
    p, q = (n['models']['A'][name] for n in numbers)
    assert p == pytest.approx(q, rel=1e-4)
  for name in ('l0', 'loss_recovered', 'explained_variance', 'silent'):
    p, q = (n['dictionaries']['A/1'][name] for n in numbers)
    assert p == pytest.approx(q, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize('name', analyses())
def test_two_processes_make_the_analyses_that_one_makes(name):
  folders = [w / 'analysis' / name for w in (alone(), together())]
  names = [{path.name for path in folder.iterdir()} for folder in folders]
  assert names[0] == names[1]
  want, got = (
    dict(program.numbers(json.loads((folder / 'numbers.json').read_text())))
    for folder in folders
  )
  assert want.keys() == got.keys()
  apart = {
    path: (got[path], x)
    for path, x in want.items()
    # UMAP lays points out by chance, from what differs by roundings.
    if (name != 'geometry' or path[0] == 'runs')
    and not math.isclose(got[path], x, rel_tol=1e-3, abs_tol=1e-3)
  }
  assert not apart


@pytest.mark.slow
def test_one_process_speaks_and_writes():
  workdir = together()
  said = [workdir.with_name('hosts_said') / f'said{i}' for i in range(2)]
  assert said[1].read_text() == ''
  assert 'site: open' in said[0].read_text()
  steps = [(r['run'], r['step']) for r in program.records(workdir, 'sae/A')]
  assert steps == sorted(set(steps))
  assert (workdir / 'site' / 'index.html').exists()
  for events in (workdir / 'tensorboard').iterdir():
    assert len(list(events.iterdir())) == 1, 'one process, one file'
  assert not (workdir / '.shared').exists()


def chunks(workdir: pathlib.Path) -> int:
  return len(program.records(workdir, 'sae/A'))


def until(ready: Callable[[], bool], run: Pair) -> None:
  limit = time.monotonic() + 120
  while not ready():
    assert time.monotonic() < limit, 'the moment never came'
    assert all(p.poll() is None for p in run.processes), run.said(0)
    time.sleep(0.01)


@pytest.mark.slow
def test_what_ends_one_process_ends_both_and_both_go_on(tmp_path):
  undisturbed = together()
  workdir = tmp_path / 'w'
  for part in ('tokens', 'models'):
    shutil.copytree(undisturbed / part, workdir / part)

  with pair(tmp_path / 'term', 'sae', workdir) as run:
    until(lambda: chunks(workdir) >= 2, run)
    run.processes[1].terminate()
    assert run.wait() == [128 + signal.SIGTERM] * 2
  ends = [
    [x for x in run.said(i).splitlines() if x.startswith('SIGTERM: saved')]
    for i in range(2)
  ]
  assert ends[0] == ends[1] and len(ends[0]) == 1
  assert f'after chunk {chunks(workdir)} of 12' in ends[0][0]

  # Process 0 keeps what the processes say to each other: it is missed at once;
  # process 1 at the latest when its heartbeats are.
  for dead, other in ((0, 1), (1, 0)):
    with pair(tmp_path / f'kill{dead}', 'sae', workdir) as run:
      before = chunks(workdir)
      until(lambda b=before: b < chunks(workdir) < 12, run)
      run.processes[dead].kill()
      began = time.monotonic()
      codes = run.wait(timeout=60)
      print(f'{dead} killed: {time.monotonic() - began:.1f} s')
    assert codes[dead] == -signal.SIGKILL and codes[other] == 75
    error = the_error(run.said(other))
    assert error.startswith('error: another process died')
    (log,) = [x for x in error.split() if 'monosem_' in x]
    assert pathlib.Path(log).parent == run.out

  finish(tmp_path / 'rest', 'sae', workdir)
  a, b = (
    tensors(undisturbed / 'dictionaries' / 'A1'),
    tensors(workdir / 'dictionaries' / 'A1'),
  )
  assert a.keys() == b.keys()
  for key, x in a.items():
    np.testing.assert_array_equal(x, b[key], err_msg=key)


FAILING = """
import sys
from monosem_jax import main
from monosem_jax.config.errors import UserError
from monosem_jax.text import stream
def read(batches):
  for i, batch in enumerate(batches):
    if i == 3:
      raise UserError('shard 7 of this host is gone.')
    yield batch
real = stream.batches
stream.batches = lambda *a, **k: read(real(*a, **k))
main.run()
"""


@pytest.mark.parametrize('who', ['data', 'config'])
def test_a_mistake_in_one_process_is_said_by_both(tmp_path, who):
  shutil.copytree(program.finished() / 'tokens', tmp_path / 'w' / 'tokens')
  if who == 'data':  # in the middle of the training of the transformer
    second = lambda command: [sys.executable, '-c', FAILING, *command[3:]]
    reason = 'shard 7 of this host is gone.'
  else:
    second = lambda command: [*command, '--config.lm.lr=1e-3']
    reason = 'config: differs from that of process 0.'
  with pair(tmp_path / 'out', 'lm', tmp_path / 'w', second=second) as run:
    assert run.wait(timeout=60) == [2, 2]
  assert the_error(run.said(1)).startswith('error: ')
  assert the_error(run.said(1)).endswith(reason)
  assert the_error(run.said(0)) == f'process 1: {the_error(run.said(1))}'
  assert not list(run.out.glob('monosem_*.log'))
