"""Runs the program as a user does, on a text and a config of some seconds."""

import contextlib
import fcntl
import functools
import importlib
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

from child import Child

ROOT = pathlib.Path(__file__).parents[1]

CONFIG = """
from ml_collections import ConfigDict


def get_config():
  c = ConfigDict()
  c.text = dict(
    source='text', paths=({text!r},), context=16, contexts_per_record=16,
    min_document_chars=1, val_fraction=0.2,
  )
  c.tokenizer = dict(vocab_size=300, sample_chars=20_000)
  c.lm = dict(
    d_model=16, d_mlp=32, n_heads=2, steps=12, batch_size=8, lr=3e-3,
    warmup_steps=2, steps_per_chunk=1, eval_contexts=16,
  )
  c.models = dict(A=dict(seed=0))
  c.stream = dict(
    contexts_per_chunk=16, positions_per_context=8, shuffle_groups=4,
    micro_batches=2, batch_size=32, micro_batch=16, steps=48,
  )
  c.sae = dict(
    lr=1e-2, l1=0.05,
    resampling=dict(steps=(10, 24), window=3, candidates=64),
  )
  c.dictionaries = dict(A1=dict(features=48))
  c.evaluation = dict(contexts=16)
  c.features = dict(contexts=64, least_firings=2, modes_apart=100.0)
  c.analysis = dict(
    contexts=32, batch_size=16, controls=('neurons',),
    steering=dict(
      doses=(0.0, 1.0), samples=2, tokens=4, features=1, contexts=2, controls=1,
    ),
    automata=dict(machines=1, contexts=4, walk=4),
  )
  c.checkpoint = dict(every_chunks=1)
  return c.lock()
"""
LM, SAE = (
  'models/A/model.safetensors',
  'dictionaries/A1/sae_weights.safetensors',
)


# XLA's flags. Compiling is most of the time of a run this small.
QUICKLY = (
  '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true'
)
# The environment variable that names what all processes of a run share.
FOLDER = 'MONOSEM_TESTS'


def _folder() -> pathlib.Path:
  return pathlib.Path(os.environ[FOLDER])


def once(name: str, make: Callable[[pathlib.Path], Any]) -> pathlib.Path:
  """A path in the shared folder, which one process makes for all of them."""
  path, made = _folder() / name, _folder() / f'{name}.made'
  with (_folder() / f'{name}.lock').open('w') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    if not made.exists():
      make(path)
      made.touch()
  return path


@functools.cache
def text() -> pathlib.Path:
  def make(path):
    draw = random.Random(0)
    words = [
      ''.join(draw.choices('abcdefghijklmnop', k=draw.randint(2, 7)))
      for _ in range(300)
    ]
    path.mkdir()
    for i in range(60):
      lines = [' '.join(draw.choices(words, k=12)) for _ in range(10)]
      (path / f'{i:03d}.txt').write_text('\n'.join(lines))

  return once('text', make)


@functools.cache
def config() -> pathlib.Path:
  said = CONFIG.format(text=str(text()))
  return once('config.py', lambda path: path.write_text(said))


def environment() -> dict[str, str]:
  return os.environ | {
    'PYTHONPATH': os.pathsep.join(
      filter(None, (str(ROOT), os.environ.get('PYTHONPATH')))
    ),
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': QUICKLY,
    'JAX_COMPILATION_CACHE_DIR': str(_folder() / 'compiled'),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
  }


def command(
  stage: str, workdir: pathlib.Path, *more: str, patch: str = ''
) -> list[str]:
  """The command of a stage; `patch` is Python that runs before the program."""
  how = ('-m', 'monosem_jax.main')
  if patch:
    how = ('-c', f'{patch}\nfrom monosem_jax.main import run\nrun()')
  return [
    *(sys.executable, *how, stage),
    *(f'--config={config()}', f'--workdir={workdir}', *more),
  ]


def start(
  stage: str,
  workdir: pathlib.Path,
  *more: str,
  patch: str = '',
  prefix: tuple[str, ...] = (),
  env: Mapping[str, str] = types.MappingProxyType({}),
) -> Child:
  """Starts a stage.

  Args:
    stage: its name.
    workdir: where.
    *more: other arguments.
    patch: Python that the process runs before the program.
    prefix: a command that runs the process.
    env: environment variables besides `environment`'s.
  """
  return Child(
    [*prefix, *command(stage, workdir, *more, patch=patch)],
    environment() | env,
    ROOT,
    pathlib.Path(tempfile.mkdtemp(prefix='logs_', dir=_folder())),
  )


def run(
  stage: str, workdir: pathlib.Path, *more: str, code: int = 0, **how
) -> subprocess.CompletedProcess:
  """Runs a stage to its end, which must be of that exit code.

  Args:
    stage: its name.
    workdir: where.
    *more: other arguments.
    code: the exit code.
    **how: as `start` takes it.
  """
  with start(stage, workdir, *more, **how) as child:
    found = child.wait()
    done = subprocess.CompletedProcess((), found, child.out, child.err)
  assert found == code, done.stdout + done.stderr
  assert 'Traceback' not in done.stderr, done.stderr
  return done


def interrupt(
  signum: int,
  when: Callable[[], bool],
  stage: str,
  workdir: pathlib.Path,
  *more: str,
) -> tuple[int, str]:
  """Starts a stage and sends it a signal when `when()` says so."""
  with start(stage, workdir, *more) as child:
    child.until(when)
    return child.send(signum), child.out + child.err


@functools.cache
def finished() -> pathlib.Path:
  """A work directory with every stage done in one `all`; to be copied."""

  def make(workdir):
    said = run('all', workdir).stdout
    workdir.with_suffix('.log').write_text(said)

  return once('finished', make)


@functools.cache
def featured() -> pathlib.Path:
  """A work directory whose features are there, for `AnalysisInputs`."""

  def make(workdir):
    for stage in ('tokens', 'lm', 'sae', 'features'):
      run(stage, workdir)

  return once('featured', make)


def log_of_finished() -> str:
  return finished().with_suffix('.log').read_text()


# What a clock says, which differs from run to run.
TIMING = ('units_per_second', 'flops_per_second', 'mfu')


def records(
  workdir: pathlib.Path, run: str, *, timing: bool = False
) -> list[dict]:
  """The lines of metrics.jsonl of one run, without their timing."""
  path = workdir / 'metrics.jsonl'
  lines = path.read_text().splitlines() if path.exists() else []
  found = []
  for line in lines:
    try:
      found.append(json.loads(line))
    except ValueError:
      assert line is lines[-1], f'a broken line amid metrics.jsonl: {line}'
  kept = [r for r in found if r['run'] == run]
  if timing:
    return kept
  return [{k: v for k, v in r.items() if k not in TIMING} for r in kept]


def report(workdir: pathlib.Path) -> dict:
  return json.loads((workdir / 'report.json').read_text())


def numbers(value, path=()):
  """The numbers of a report, by where they stand; no clock's.

  Nor those of the best feature for a proxy: of this text's noise another one
  may be best by a rounding.
  """
  if isinstance(value, dict):
    for key, x in value.items():
      of_clock = key in TIMING or key.endswith('_per_second')
      if not of_clock and not key.startswith('proxies.'):
        yield from numbers(x, (*path, key))
  elif isinstance(value, list):
    for i, x in enumerate(value):
      yield from numbers(x, (*path, i))
  elif isinstance(value, int | float) and not isinstance(value, bool):
    yield path, value


def files(workdir: pathlib.Path) -> dict[str, bytes]:
  """Every file below, by its path."""
  return {
    str(p.relative_to(workdir)): p.read_bytes()
    for p in sorted(workdir.rglob('*'))
    if p.is_file()
  }


def call(*argv: str) -> tuple[int, str]:
  """The console script in this process: exit code and standard error.

  For what is refused or answered before any stage runs.
  """
  err = io.StringIO()
  before = signal.getsignal(signal.SIGTERM)
  with (
    mock.patch.object(sys, 'argv', ['monosem', *argv]),
    contextlib.redirect_stderr(err),
  ):
    # Anew, as in a process of its own: absl's flags keep their values.
    main = importlib.reload(importlib.import_module('monosem_jax.main'))
    try:
      main.run()
      code = 0
    except SystemExit as e:
      code = e.code
    finally:
      signal.signal(signal.SIGTERM, before)
  return code, err.getvalue()


def refusal(*argv: str) -> str:
  """What a refused call says: exit code 2 and one line."""
  code, err = call(*argv)
  assert code == 2, err
  assert err.count('\n') == 1, f'not one line: {err}'
  return err
