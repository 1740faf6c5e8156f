"""Two processes of two devices each, which talk over TCP as two hosts do."""

import contextlib
import functools
import json
import math
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import program
import pytest
import safetensors.numpy
from test_stage_meshes import numbers

from monosem_jax.stages.analysis.declaration import analyses

# Of float32 runs that add up in another order; relative to the largest entry.
RTOL = 1e-4


def free_port() -> int:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def environment(devices: int, tmp: pathlib.Path) -> dict[str, str]:
  return program.environment() | {
    'JAX_NUM_CPU_DEVICES': str(devices),
    'TMPDIR': str(tmp),
    # Compiling is most of the time here.
    'XLA_FLAGS': '--xla_backend_optimization_level=0 '
    '--xla_llvm_disable_expensive_passes=true',
  }


class Pair:
  """Both processes of a run, and what each of them says."""

  def __init__(self, commands: list[list[str]], out: pathlib.Path):
    out.mkdir(parents=True, exist_ok=True)
    self.out = out
    at = f'--coordinator=127.0.0.1:{free_port()}'
    self.processes = []
    for i, command in enumerate(commands):
      with (out / f'said{i}').open('w') as said:
        self.processes.append(
          subprocess.Popen(
            [*command, at, '--num_processes=2', f'--process_id={i}'],
            env=environment(2, out),
            stdout=said,
            stderr=subprocess.STDOUT,
          )
        )

  def said(self, i: int) -> str:
    return (self.out / f'said{i}').read_text()

  def wait(self, timeout: float = 240) -> list[int]:
    until = time.monotonic() + timeout
    codes = [p.wait(until - time.monotonic()) for p in self.processes]
    for i in range(2):
      assert 'Check failure' not in self.said(i), self.said(i)
      assert 'Traceback' not in self.said(i), self.said(i)
    return codes


@contextlib.contextmanager
def pair(
  out: pathlib.Path,
  stage: str,
  workdir: pathlib.Path,
  *more: str,
  second: Callable[[list[str]], list[str]] = lambda command: command,
) -> Iterator[Pair]:
  """Starts a stage in two processes; `second` changes the second's command."""
  command = program.command(stage, workdir, *more)
  started = Pair([command, second(list(command))], out)
  try:
    yield started
  finally:
    for p in started.processes:
      p.kill()
      p.wait()


def finish(out: pathlib.Path, stage: str, workdir: pathlib.Path) -> Pair:
  with pair(out, stage, workdir) as run:
    assert run.wait() == [0, 0], run.said(0) + run.said(1)
  assert not list(out.glob('monosem_*.log'))
  return run


@functools.cache
def folder() -> pathlib.Path:
  path = program.config().parent / f'hosts_{os.getpid()}'
  path.mkdir()
  return path


@functools.cache
def alone() -> pathlib.Path:
  """All stages, in one process of four devices."""
  workdir = folder() / 'alone'
  for stage in ('tokens', 'lm', 'sae', 'features', 'site', 'analysis'):
    done = subprocess.run(
      program.command(stage, workdir),
      env=environment(4, folder()),
      capture_output=True,
      text=True,
      timeout=240,
    )
    assert done.returncode == 0, done.stderr
  return workdir


@functools.cache
def together() -> tuple[pathlib.Path, Pair]:
  """All stages, in two processes of two devices."""
  workdir = folder() / 'together'
  return workdir, finish(folder() / 'out', 'all', workdir)


def tensors(workdir: pathlib.Path) -> dict[str, np.ndarray]:
  return {
    f'{path.relative_to(workdir)}: {name}': x
    for path in sorted(workdir.rglob('*.safetensors'))
    for name, x in safetensors.numpy.load_file(path).items()
  }


def test_two_processes_find_what_one_finds():
  want, (workdir, _) = alone(), together()
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


@pytest.mark.parametrize('name', analyses())
def test_two_processes_make_the_analyses_that_one_makes(name):
  folders = [w / 'analysis' / name for w in (alone(), together()[0])]
  names = [{path.name for path in folder.iterdir()} for folder in folders]
  assert names[0] == names[1]
  want, got = (
    dict(numbers(json.loads((folder / 'numbers.json').read_text())))
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


def test_one_process_speaks_and_writes():
  workdir, run = together()
  assert run.said(1) == ''
  assert 'site: open' in run.said(0)
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


def the_error(said: str) -> str:
  """The only line that speaks of an error."""
  (line,) = [x for x in said.splitlines() if 'error' in x.lower()]
  return line


def test_what_ends_one_process_ends_both_and_both_go_on(tmp_path):
  undisturbed, _ = together()
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


SHARES = """
import itertools, sys
from monosem_jax.device import hosts, mesh as meshes
flags = dict(a[2:].split('=') for a in sys.argv[1:])
with hosts.together(
  False, flags['coordinator'], 2, int(flags['process_id']), 60
):
  import jax, numpy as np
  devices, S, B = jax.devices(), 3, 8
  x_SBT = np.arange(S * B * 5).reshape(S, B, 5)
  # Processes in turn, one inside the other, one beside the other.
  for order in ([0, 2, 1, 3], [0, 2, 3, 1], [3, 2, 1, 0]):
    for shape in ((4, 1), (2, 2), (1, 4)):
      there = np.array(devices)[order].reshape(shape)
      mesh = jax.sharding.Mesh(there, meshes.AXES)
      for name in ('tokens_SBT', 'x_MNA', 'replicated'):
        share = meshes.share(mesh, (S, B), getattr(meshes.SPECS, name))
        placed = share.put(x_SBT.reshape(-1, 5)[share.rows])
        np.testing.assert_array_equal(meshes.fetch(placed), x_SBT)
        sizes = hosts.largest(len(share.rows)), -hosts.largest(-len(share.rows))
        hosts.log(f'{order} {shape} {name}: {sizes[1]} to {sizes[0]} rows')
  seven = lambda: hosts.on_first_process(lambda: 7)
  numbers = [hosts.largest(i * seven()) for i in range(99)]
  assert numbers == [7 * i for i in range(99)]
"""


def test_each_process_brings_what_its_devices_hold(tmp_path):
  run = Pair([[sys.executable, '-c', SHARES]] * 2, tmp_path)
  assert run.wait() == [0, 0], run.said(0) + run.said(1)
  assert run.said(1) == ''
  lines = run.said(0).splitlines()
  assert len(lines) == 3 * 3 * 3
  # Half of what is spread over all devices, in whatever order they are.
  halves = [x for x in lines if 'tokens_SBT' in x]
  assert all(x.endswith('12 to 12 rows') for x in halves)
  # What lies on one axis is held whole where both processes lie on the other.
  assert any('x_MNA' in x and x.endswith('24 to 24 rows') for x in lines)


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
  shutil.copytree(together()[0] / 'tokens', tmp_path / 'w' / 'tokens')
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


@pytest.mark.slow
def test_a_work_directory_of_its_own_is_refused(tmp_path):
  more = '--join_seconds=20'
  second = lambda command: [*command, f'--workdir={tmp_path / "other"}', more]
  with pair(tmp_path / 'out', 'all', tmp_path / 'w', second=second) as run:
    assert run.wait() == [2, 2]
  error = the_error(run.said(1))
  assert str(tmp_path / 'other') in error and 'share' in error
  assert the_error(run.said(0)) == f'process 1: {error}'


def joining(*flags: str) -> list[str]:
  return ['all', f'--config={program.config()}', '--workdir=unused', *flags]


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    (['--process_id=0'], 'go together; given is only --process_id'),
    (
      ['--coordinator=a:1', '--num_processes=2'],
      'given is only --coordinator and --num_processes',
    ),
    (
      ['--coordinator=a:1', '--num_processes=2', '--process_id=2'],
      '--process_id=2: with --num_processes=2, process ids are 0 to 1',
    ),
    (
      ['--coordinator=a:1', '--num_processes=2', '--process_id=-1'],
      '--process_id=-1',
    ),
    (
      ['--coordinator=host', '--num_processes=2', '--process_id=0'],
      '--coordinator=host: not HOST:PORT',
    ),
    (['--distributed', '--coordinator=a:1'], '--distributed replaces'),
    (['--num_processes=two'], 'num_processes'),
  ],
)
def test_flags_that_do_not_fit(flags, words):
  assert words in program.refusal(*joining(*flags))
  assert not pathlib.Path('unused').exists()


def test_a_port_that_is_taken():
  with socket.socket() as taken:
    taken.bind(('', 0))
    taken.listen()
    port = taken.getsockname()[1]
    at = [f'--coordinator=127.0.0.1:{port}', '--num_processes=2']
    error = program.refusal(*joining(*at, '--process_id=0'))
  assert f'127.0.0.1:{port}' in error and 'not free' in error


@pytest.mark.parametrize(
  ('flags', 'code', 'words'),
  [
    (['--distributed'], 2, '--distributed: jax finds no cluster'),
    (
      ['--num_processes=2', '--process_id=1', '--join_seconds=2'],
      75,
      'not all 2 processes met at 127.0.0.1',
    ),
  ],
)
def test_nobody_to_join(tmp_path, flags, code, words):
  if len(flags) > 1:
    flags.append(f'--coordinator=127.0.0.1:{free_port()}')
  done = subprocess.run(
    [*program.command('all', tmp_path / 'w'), *flags],
    env=environment(2, tmp_path),
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == code
  assert done.stderr.count('\n') == 1 and words in done.stderr, done.stderr
