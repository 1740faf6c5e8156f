"""Failure drills: the program killed, starved, damaged and lied to.

  launch/drill.sh [DRILL ...] [--kills=50] [--soak_minutes=2] [--workdir=DIR]

Every drill runs the real program on a text and a config of some seconds, does
something to it, starts the same command again, and compares what comes out
with a run that was left alone: token store, weights of the transformer and of
the dictionary, and feature table bit for bit; metrics.jsonl with every step
once. A drill that this machine does not allow says so and never passes. The
table at the end says what was done and seen; exit code 1 if a drill failed.
Everything is bounded: the kills, the starts, and the minutes of each start.

The claim of equal bits holds on a CPU for one device count. On a GPU, XLA may
choose other kernels in another process, and some of them add in any order;
its documentation names this remedy:

  XLA_FLAGS=--xla_gpu_deterministic_ops=true launch/drill.sh

`--xla_gpu_exclude_nondeterministic_ops=true` is not enough here: it still lets
every process tune its own choice of kernels. The flag costs 14% of A/1's chunk
on an H100 (102.0 ms beside 89.2, jax 0.11.2). These drills have not been run on
a GPU.
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]

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
    d_model=16, d_mlp=32, n_heads=2, steps={lm_steps}, batch_size=16, lr=3e-3,
    warmup_steps=2, steps_per_chunk=1, eval_contexts=16,
  )
  c.models = dict(A=dict(seed=0))
  c.stream = dict(
    contexts_per_chunk=16, positions_per_context=8, shuffle_groups=4,
    micro_batches=2, batch_size=32, micro_batch=16, steps={sae_steps},
  )
  c.sae = dict(
    lr=1e-2, l1=0.05,
    resampling=dict(steps=(10, 24), window=3, candidates=64),
  )
  c.dictionaries = dict(A1=dict(features=48))
  c.evaluation = dict(contexts=16)
  c.features = dict(contexts=64, least_firings=2, modes_apart=100.0)
  c.analysis = dict(
    contexts=32, batch_size=16, controls=(),
    steering=dict(doses=(1.0,), samples=2, tokens=4, features=1, contexts=2),
    automata=dict(machines=1, contexts=4, walk=4),
  )
  c.checkpoint = dict(every_chunks=2, keep=3)
  return c.lock()
"""
STEPS_PER_CHUNK = {'lm': 1, 'sae': 4}
RUN = {'lm': 'lm/A', 'sae': 'sae/A'}
CHECKPOINTS = {
  'lm': 'models/A/checkpoints',
  'sae': 'dictionaries/stream_A/checkpoints',
}
# What a stage leaves that must be the same, byte for byte.
RESULTS = {
  'tokens': ('tokens/store',),
  'lm': ('models/A/model.safetensors',),
  'sae': (
    'dictionaries/A1/sae_weights.safetensors',
    'dictionaries/A1/evaluation/numbers.json',
  ),
  'features': ('features/A1',),
}
# What a stage needs of the ones before it.
NEEDS = {'lm': ('tokens',), 'sae': ('tokens', 'models')}
# Seconds that one start of the program may take.
LIMIT = 300.0
# Share by which memory may move in a soak, behind its first quarter, and that
# many seconds at least, in which it warms up; windows whose medians count.
FLAT = 0.02
WARM_UP = 60.0
WINDOWS = 6


class Failed(Exception):
  """A drill saw what must not be."""


class NotPossible(Exception):
  """This machine does not let a drill do what it wants to do."""


def require(condition: bool, what: str) -> None:
  """Raises Failed, saying what was seen, unless the condition holds."""
  if not condition:
    raise Failed(what)


class Child:
  """The program in a process of its own; killed where its block is left."""

  def __init__(
    self,
    log: pathlib.Path,
    command: list[str],
    env: dict[str, str],
  ):
    self._log = log
    with log.open('w') as out, log.with_suffix('.err').open('w') as err:
      # There, as Python looks for modules in its working directory first.
      self._process = subprocess.Popen(
        command, env=env, stdout=out, stderr=err, cwd=ROOT
      )
    self.started = time.monotonic()

  def __enter__(self) -> 'Child':
    return self

  def __exit__(self, *unused) -> None:
    self.kill()

  @property
  def pid(self) -> int:
    return self._process.pid

  @property
  def out(self) -> str:
    return self._log.read_text()

  @property
  def err(self) -> str:
    return self._log.with_suffix('.err').read_text()

  def running(self) -> bool:
    return self._process.poll() is None

  def until(
    self,
    now: Callable[[], bool],
    limit: float = LIMIT,
    every: float = 0.0005,
  ) -> bool:
    """Waits for a moment; False if the program ended before it came."""
    while not now():
      if not self.running():
        return False
      if time.monotonic() - self.started > limit:
        raise Failed(f'a moment that never came in {limit:.0f} s')
      time.sleep(every)
    return self.running()

  def send(self, signum: int) -> int:
    """Sends a signal, and waits for the exit code."""
    self._process.send_signal(signum)
    return self.wait()

  def kill(self) -> bool:
    """SIGKILL; False if the program had ended before."""
    self._process.kill()
    return self._process.wait() == -signal.SIGKILL

  def wait(self, limit: float = LIMIT) -> int:
    try:
      return self._process.wait(limit)
    except subprocess.TimeoutExpired:
      raise Failed(f'no end in {limit:.0f} s') from None

  def finish(self) -> str:
    """Waits for an end without any error; what was printed."""
    code = self.wait()
    require(code == 0, f'exit code {code}: {self.err.strip()[-300:]}')
    return self.out

  def refusal(self) -> str:
    """Waits for exit code 2 and one line of error, which is returned."""
    code = self.wait()
    require(code == 2, f'exit code {code}, not 2: {self.err.strip()[-300:]}')
    lines = [
      line
      for line in self.err.replace('\r', '\n').splitlines()
      if line.strip() and '%|' not in line
    ]
    require(
      len(lines) == 1 and lines[0].startswith('error: '),
      f'not one line of error but: {" / ".join(lines)[:300]}',
    )
    return lines[0]


@dataclasses.dataclass(frozen=True)
class Ground:
  """Where the drills take place.

  Attributes:
    folder: everything is in it.
    kills: how many the drill of that name makes.
    soak_minutes: of each soak.
  """

  folder: pathlib.Path
  kills: int
  soak_minutes: float

  @property
  def chunks(self) -> int:
    """Chunks of each training: enough that no kill comes too late."""
    return max(24, 4 * self.kills)

  @property
  def config(self) -> pathlib.Path:
    return self.folder / 'config.py'

  def prepare(self) -> None:
    """Writes the text and the config."""
    draw = random.Random(0)
    words = [
      ''.join(draw.choices('abcdefghijklmnop', k=draw.randint(2, 7)))
      for _ in range(300)
    ]
    text = self.folder / 'text'
    text.mkdir()
    for i in range(16):
      lines = [' '.join(draw.choices(words, k=12)) for _ in range(10)]
      (text / f'{i:03d}.txt').write_text('\n'.join(lines))
    self.config.write_text(
      CONFIG.format(
        text=str(text),
        lm_steps=self.chunks * STEPS_PER_CHUNK['lm'],
        sae_steps=self.chunks * STEPS_PER_CHUNK['sae'],
      )
    )

  def start(
    self,
    stage: str,
    workdir: pathlib.Path,
    *more: str,
    patch: str = '',
    prefix: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
  ) -> Child:
    """Starts a stage.

    Args:
      stage: its name.
      workdir: where.
      *more: other arguments.
      patch: Python that the process runs before the program.
      prefix: a command that runs the process.
      env: environment variables.
    """
    how = ('-m', 'monosem_jax.main')
    if patch:
      how = ('-c', f'{patch}\nfrom monosem_jax.main import run\nrun()')
    command = [*prefix, sys.executable, *how, stage, f'--config={self.config}']
    # Compiled once for all: a start takes seconds instead of ten.
    cache = {
      'JAX_COMPILATION_CACHE_DIR': str(self.folder / 'compiled'),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
      'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
    }
    paths = str(ROOT), os.environ.get('PYTHONPATH')
    python_path = {'PYTHONPATH': os.pathsep.join(filter(None, paths))}
    return Child(
      self.folder / f'{workdir.name}.log',
      [*command, f'--workdir={workdir}', *more],
      cache | os.environ | python_path | (env or {}),
    )

  def run(self, stage: str, workdir: pathlib.Path, *more: str, **how) -> str:
    """Runs a stage to its end; what it printed."""
    with self.start(stage, workdir, *more, **how) as child:
      return child.finish()

  @functools.cached_property
  def undisturbed(self) -> pathlib.Path:
    """The yardstick: every stage in one go, and nothing done to it."""
    workdir = self.folder / 'undisturbed'
    self.run('all', workdir)
    return workdir

  def before(self, stage: str, name: str) -> pathlib.Path:
    """A new work directory that holds what the stages before have left."""
    workdir = self.folder / name
    for part in NEEDS[stage]:
      shutil.copytree(
        self.undisturbed / part, workdir / part, dirs_exist_ok=True
      )
    return workdir

  def compare(self, workdir: pathlib.Path, *stages: str) -> None:
    """Raises Failed unless a work directory is as the undisturbed one."""
    for stage in stages:
      for part in RESULTS[stage]:
        found = files(workdir / part)
        wanted = files(self.undisturbed / part)
        require(
          found.keys() == wanted.keys(), f'{part}: other files than undisturbed'
        )
        for name, data in wanted.items():
          require(
            found[name] == data, f'{pathlib.Path(part, name)}: other bytes'
          )
      if stage in RUN:
        self._compare_metrics(workdir, stage)
        part = 'models' if stage == 'lm' else 'dictionaries'
        require(
          report(workdir)[part] == report(self.undisturbed)[part],
          f'report.json: other {part}',
        )

  def _compare_metrics(self, workdir: pathlib.Path, stage: str) -> None:
    found = records(workdir, RUN[stage])
    each = STEPS_PER_CHUNK[stage]
    wanted = [each * k for k in range(1, self.chunks + 1)]
    said = [record['step'] for record in found]
    require(said == wanted, f'{stage}: metrics.jsonl has not each step once')
    for ours, theirs in zip(
      found, records(self.undisturbed, RUN[stage]), strict=True
    ):
      require(
        results(ours) == results(theirs),
        f'{stage}: other numbers at step {ours["step"]}',
      )


def files(path: pathlib.Path) -> dict[str, bytes]:
  """The file of that path, or every file below it, by name."""
  if path.is_file():
    return {'': path.read_bytes()}
  return {
    str(p.relative_to(path)): p.read_bytes()
    for p in sorted(path.rglob('*'))
    if p.is_file()
  }


def records(workdir: pathlib.Path, run: str) -> list[dict]:
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [r for r in map(json.loads, lines) if r['run'] == run]


def report(workdir: pathlib.Path) -> dict:
  """The results of each model and dictionary."""
  found = json.loads((workdir / 'report.json').read_text())
  return {
    part: {name: results(numbers) for name, numbers in found[part].items()}
    for part in ('models', 'dictionaries')
  }


def results(numbers: dict) -> dict:
  """Numbers without those that depend on the machine's speed."""
  return {
    key: value
    for key, value in numbers.items()
    if not key.endswith('per_second') and key != 'mfu'
  }


def after(seconds: float) -> Callable[[], bool]:
  """Says when so many seconds have passed from now."""
  until = time.monotonic() + seconds
  return lambda: time.monotonic() >= until


def written(path: pathlib.Path) -> Callable[[], bool]:
  """Says when a file is written anew."""

  def stamp() -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None

  before = stamp()
  return lambda: stamp() != before


def lines_behind(
  workdir: pathlib.Path, stage: str, n: int
) -> Callable[[], bool]:
  """Says when a training has reported `n` chunks more than there are now."""
  path, run = workdir / 'metrics.jsonl', f'"{RUN[stage]}"'

  def lines() -> int:
    return path.read_text().count(run) if path.exists() else 0

  # A run that goes on takes lines back first; so it is counted from here.
  wanted = lines() + n
  return lambda: lines() >= wanted


def saved(directory: pathlib.Path, chunk: int) -> Callable[[], bool]:
  """Says when there is a checkpoint of that chunk or a later one."""
  return lambda: max(whole(directory), default=0) >= chunk


def saving(directory: pathlib.Path) -> Callable[[], bool]:
  """Says when a new checkpoint is being written."""
  cleaned = False

  def now() -> bool:
    nonlocal cleaned
    there = bool(unfinished(directory))
    # What a killed save has left goes first.
    cleaned = cleaned or not there
    return cleaned and there

  return now


def unfinished(directory: pathlib.Path) -> list[str]:
  """The checkpoints that are half written."""
  return [n for n in _names(directory) if not n.isdigit()]


def half_written(workdir: pathlib.Path) -> set[tuple[str, int]]:
  """The same of all trainings, each with a number that tells it from others."""
  return {
    (f'{directory}/{name}', (workdir / directory / name).stat().st_mtime_ns)
    for directory in CHECKPOINTS.values()
    for name in unfinished(workdir / directory)
  }


def whole(directory: pathlib.Path) -> list[int]:
  """The numbers of the checkpoints that are whole, rising."""
  return sorted(int(n) for n in _names(directory) if n.isdigit())


def _names(directory: pathlib.Path) -> list[str]:
  return os.listdir(directory) if directory.exists() else []


def quote(g: Ground, line: str) -> str:
  """An error's beginning, without the folder that all is in."""
  return line.replace(f'{g.folder}/', '')[:110] + '...'


def stage_under_way(workdir: pathlib.Path) -> str:
  """The first stage whose last file is not there."""
  last = {
    'tokens': 'tokens/store/manifest.json',
    'lm': 'models/A/result.json',
    'sae': 'dictionaries/A1/evaluation/numbers.json',
    'features': 'features/A1/meta.json',
  }
  for stage, path in last.items():
    if not (workdir / path).exists():
      return stage
  return 'site'


def kills(g: Ground) -> str:
  """kill -9 in a row, at random moments of all stages"""
  draw = random.Random(0)
  workdir = g.folder / 'kills'
  few = g.kills // 10
  length = _seconds_of_tokens(g) if few else 0.0
  half = (g.kills - 2 * few) // 2
  stages = ['tokens'] * few + ['lm'] * half
  stages += ['sae'] * (g.kills - 2 * few - half) + ['features'] * few
  hit: dict[str, int] = {}
  while_saving = 0
  for n, stage in enumerate(stages):
    left_before = half_written(workdir)
    with g.start('all', workdir) as child:
      moment = draw.choice(('start', 'chunk', 'save'))
      if stage == 'tokens':
        first = written(workdir / 'tokens/stamp.json')
        pause = draw.uniform(0, length)
      elif stage == 'features':
        first = lambda: stage_under_way(workdir) == 'features'
        pause = draw.uniform(0, 1)
      elif moment == 'chunk':
        first = lines_behind(workdir, stage, draw.randint(1, 4))
        pause = draw.uniform(0, 0.02)
      elif moment == 'save':
        first = saving(workdir / CHECKPOINTS[stage])
        pause = draw.uniform(0, 0.02)
      else:
        first, pause = after(0), draw.uniform(0.1, 2)
      child.until(first)
      child.until(after(pause))
      killed = child.kill()
      require(killed, f'over after {n} of {g.kills} kills: {child.err[-200:]}')
    where = stage_under_way(workdir)
    hit[where] = hit.get(where, 0) + 1
    while_saving += bool(half_written(workdir) - left_before)
  g.run('all', workdir)
  g.compare(workdir, 'tokens', 'lm', 'sae', 'features')
  where = ', '.join(f'{n} in {stage}' for stage, n in hit.items())
  return (
    f'{g.kills} kills ({where}; {while_saving} of them amid a save); same '
    'bits, every step said once'
  )


def _seconds_of_tokens(g: Ground) -> float:
  """From the first file of the stage to its last."""
  workdir = g.folder / 'timed'
  with g.start('tokens', workdir) as child:
    child.until((workdir / 'tokens/stamp.json').exists)
    since = time.monotonic()
    child.until((workdir / 'tokens/store/manifest.json').exists)
    return time.monotonic() - since


def kill_in_save(g: Ground) -> str:
  """kill -9 while a checkpoint is written, 4 times in each training"""
  draw = random.Random(1)
  seen = []
  for stage in ('lm', 'sae'):
    workdir = g.before(stage, f'kill_in_save_{stage}')
    directory = workdir / CHECKPOINTS[stage]
    hits = starts = 0
    while hits < 4:
      starts += 1
      require(starts <= 20, f'{stage}: {hits} of 20 kills hit a save')
      before = whole(directory)
      wanted = max(before, default=0) + draw.randint(0, 3)
      with g.start(stage, workdir) as child:
        child.until(saved(directory, wanted))
        require(child.until(saving(directory)), f'{stage}: done too early')
        time.sleep(draw.uniform(0, 0.01))
        child.kill()
        require('cannot be read' not in child.out, child.out)
      hits += bool(unfinished(directory))
      after_it = whole(directory)
      require(after_it[-1:] >= before[-1:], f'{stage}: a checkpoint is gone')
    out = g.run(stage, workdir)
    require('cannot be read' not in out, out)
    g.compare(workdir, stage)
    seen.append(f'{stage}: {hits} of {starts} kills left a half-written one')
  return '; '.join(seen) + '; none was taken for whole; same bits'


@contextlib.contextmanager
def read_only_mount(directory: pathlib.Path) -> Iterator[None]:
  path = str(directory)
  _mount('--bind', path, path)
  try:
    # Refused as long as a file below is open for writing.
    for patience in itertools.count():
      try:
        _mount('-o', 'remount,bind,ro', path)
        break
      except NotPossible:
        if patience == 200:
          raise
        time.sleep(0.005)
    yield
  finally:
    subprocess.run(['umount', '--lazy', path], check=True)


@contextlib.contextmanager
def no_write_permission(directory: pathlib.Path) -> Iterator[None]:
  directory.chmod(0o555)
  try:
    yield
  finally:
    directory.chmod(0o755)


def _mount(*arguments: str) -> None:
  command = ['mount', *arguments]
  try:
    done = subprocess.run(command, capture_output=True, text=True)
  except FileNotFoundError:
    raise NotPossible('there is no mount command') from None
  if done.returncode:
    raise NotPossible(done.stderr.strip().partition('\n')[0])


def _ordinary() -> tuple[str, ...]:
  """A command under which permissions bind even root."""
  if os.geteuid():
    return ()
  prefix = ('setpriv', '--bounding-set=-dac_override,-dac_read_search')
  if not shutil.which('setpriv'):
    raise NotPossible('root ignores permissions, and there is no setpriv')
  done = subprocess.run([*prefix, 'true'], capture_output=True, text=True)
  if done.returncode:
    raise NotPossible(done.stderr.strip())
  return prefix


def read_only(g: Ground) -> str:
  """the checkpoints' directory turns read-only amid a training"""
  ways = {
    'mount': (read_only_mount, lambda: ()),
    'permission': (no_write_permission, _ordinary),
  }
  seen, reasons = [], []
  for way, (made_read_only, prefix) in ways.items():
    workdir = g.before('sae', f'read_only_{way}')
    directory = workdir / CHECKPOINTS['sae']
    try:
      how = {'prefix': prefix()}
      with g.start('sae', workdir, **how) as child:
        child.until(lines_behind(workdir, 'sae', 5))
        with made_read_only(directory):
          line = child.refusal()
          there = whole(directory)
          # Nor does it start as long as it could not save.
          with g.start('sae', workdir, **how) as again:
            second = again.refusal()
    except NotPossible as e:
      reasons.append(f'{way}: {e}')
      continue
    for said in (line, second):
      require(str(directory) in said, f'{way}: not named: {said}')
    require(bool(there), f'{way}: there was no checkpoint to go on from')
    out = g.run('sae', workdir)
    done = there[-1] * STEPS_PER_CHUNK['sae']
    require(f' {done} of ' in out, f'{way}: did not go on from step {done}')
    g.compare(workdir, 'sae')
    seen.append(f'{way}: exit 2, "{quote(g, line)}", on from step {done}')
  if not seen:
    raise NotPossible('; '.join(reasons))
  return '; '.join(seen + [f'not tried: {r}' for r in reasons]) + '; same bits'


@contextlib.contextmanager
def small_disk(path: pathlib.Path) -> Iterator[pathlib.Path]:
  path.mkdir()
  _mount('-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', str(path))
  try:
    yield path
  finally:
    subprocess.run(['umount', '--lazy', str(path)], check=True)


def disk_full(g: Ground) -> str:
  """the disk fills up amid a training, and is emptied again"""
  # A limit of file sizes would be another error (EFBIG), so no stand-in.
  with small_disk(g.folder / 'disk') as disk:
    workdir = g.before('sae', 'disk/run')
    with g.start('sae', workdir) as child:
      child.until(lines_behind(workdir, 'sae', 5))
      fill = disk / 'fill'
      with contextlib.suppress(OSError), fill.open('wb', buffering=0) as f:
        while True:
          f.write(bytes(4_096))
      line = child.refusal()
    require('disk full' in line, f'says not what is wrong: {line}')
    there = whole(workdir / CHECKPOINTS['sae'])
    require(bool(there), 'there was no checkpoint to go on from')
    fill.unlink()
    out = g.run('sae', workdir)
    require('cannot be read' not in out, out)
    g.compare(workdir, 'sae')
  done = there[-1] * STEPS_PER_CHUNK['sae']
  return f'exit 2, "{quote(g, line)}", on from step {done}; same bits'


def truncated(g: Ground) -> str:
  """each file of the newest checkpoint cut to half, and to nothing"""
  workdir = g.before('sae', 'truncated')
  directory = workdir / CHECKPOINTS['sae']
  with g.start('sae', workdir) as child:
    child.until(lines_behind(workdir, 'sae', g.chunks - 6))
    code = child.send(signal.SIGTERM)
  require(code == 128 + signal.SIGTERM, f'SIGTERM: exit code {code}')
  *_, before, newest = whole(directory)
  names = [
    p.relative_to(directory)
    for p in sorted((directory / str(newest)).rglob('*'))
    if p.is_file() and p.stat().st_size
  ]
  fell_back = not_needed = 0
  for i, (name, share) in enumerate(itertools.product(names, (0.5, 0))):
    copy = g.folder / f'truncated_{i}'
    shutil.copytree(workdir, copy)
    damaged = copy / CHECKPOINTS['sae'] / name
    os.truncate(damaged, int(damaged.stat().st_size * share))
    out = g.run('sae', copy)
    passed_over = f'{newest} cannot be read' in out
    start = before if passed_over else newest
    done = start * STEPS_PER_CHUNK['sae']
    require(f' {done} of ' in out, f'{name}: not on from step {done}')
    g.compare(copy, 'sae')
    fell_back += passed_over
    not_needed += not passed_over
    shutil.rmtree(copy)
  require(fell_back > 0, 'no damage was seen')
  return (
    f'{len(names)} files: {fell_back} times on from the checkpoint before, '
    f'saying so; {not_needed} times the file was not needed; same bits'
  )


def shard_deleted(g: Ground) -> str:
  """a file of the token store deleted amid a training, then put back"""
  workdir = g.folder / 'shard_deleted'
  # Files of one record each, so that some are not open yet.
  small = 'from monosem_jax.text import records; records.SHARD_BYTES = 1'
  g.run('tokens', workdir, patch=small)
  shards = sorted((workdir / 'tokens/store').glob('train*'))
  require(len(shards) > 8, f'only {len(shards)} files to delete one of')
  with g.start('lm', workdir) as child:
    child.until(lines_behind(workdir, 'lm', 2))
    shard = next((s for s in shards if not _open_in(child.pid, s)), shards[-1])
    aside = workdir / 'aside'
    shard.rename(aside)
    line = child.refusal()
  said = len(records(workdir, RUN['lm']))
  with g.start('lm', workdir) as again:
    second = again.refusal()
  for text in (line, second):
    require(str(shard) in text, f'not named: {text}')
  aside.rename(shard)
  g.run('lm', workdir)
  g.compare(workdir, 'lm')
  return f'exit 2 after chunk {said}, "{quote(g, line)}"; same bits'


def _open_in(pid: int, path: pathlib.Path) -> bool:
  links = pathlib.Path(f'/proc/{pid}/fd').glob('*')
  with contextlib.suppress(OSError):
    return any(os.path.realpath(link) == str(path) for link in links)
  return False


# Python's clock, by which the program, tqdm and orbax go; C++ keeps its own.
CLOCK = """
import os, time
real = time.time
def now():
  with open(os.environ['DRILL_CLOCK']) as f:
    return real() + int(f.read())
time.time = now
time.time_ns = lambda: int(now() * 1e9)
"""


def clock(g: Ground) -> str:
  """the clock jumps by a minute or two, back and forth, all the time"""
  draw = random.Random(2)
  workdir, shift = g.folder / 'clock', g.folder / 'shift'

  def jump() -> None:
    new = shift.with_suffix('.new')
    # Two of them are less apart than the 300 s that orbax' threads, which go
    # by this clock, wait for each other.
    new.write_text(str(draw.choice((0, 60, -60, 120, -120))))
    new.replace(shift)

  jump()
  jumps = 1
  env = {'DRILL_CLOCK': str(shift)}
  with g.start('all', workdir, patch=CLOCK, env=env) as child:
    while child.until(after(draw.uniform(0.02, 0.2))):
      jump()
      jumps += 1
    child.finish()
    lasted = time.monotonic() - child.started
    for passed, left in re.findall(r'\[(\S+?)<(\S+?),', child.err):
      require(
        0 <= _seconds(passed) <= lasted and '-' not in left,
        f'progress in a run of {lasted:.0f} s: {passed} passed, {left} left',
      )
  g.compare(workdir, 'tokens', 'lm', 'sae', 'features')
  found = json.loads((workdir / 'report.json').read_text())
  lm, sae = found['models']['A'], found['dictionaries']['A/1']
  # What the rates say of the time, which is known.
  implied = (
    lm['tokens'] / lm['tokens_per_second'],
    sae['activations_seen'] / sae['activations_per_second'],
  )
  require(
    all(0 < seconds < 1.1 * lasted for seconds in implied),
    f'rates that imply {implied} s in a run of {lasted:.1f} s',
  )
  return f'{jumps} jumps; rates as they were, no negative time; same bits'


def _seconds(text: str) -> int:
  """Of tqdm's hours, minutes and seconds."""
  total = 0
  for part in text.split(':'):
    total = 60 * total + int(part)
  return total


# Always at the same place of the loop, as memory goes up and down in a chunk.
SAMPLER = """
import os, time
import jax
from monosem_jax.run import metrics
page, due = os.sysconf('SC_PAGE_SIZE'), 0.0
report = metrics.Reporter.__call__
samples = open(os.environ['DRILL_SAMPLES'], 'w', buffering=1)
def sample(*args, **named):
  global due
  report(*args, **named)
  if time.monotonic() < due:
    return
  due = time.monotonic() + float(os.environ['DRILL_SECONDS'])
  with open('/proc/self/statm') as statm:
    host = int(statm.read().split()[1]) * page
  stats = jax.local_devices()[0].memory_stats()
  arrays = sum(x.nbytes for x in jax.live_arrays())
  print(host, stats['bytes_in_use'] if stats else arrays, file=samples)
metrics.Reporter.__call__ = sample
"""


def soak_lm(g: Ground) -> str:
  """the transformer trained without end; its memory"""
  return _soak(g, 'lm')


def soak_sae(g: Ground) -> str:
  """the dictionary trained without end; its memory"""
  return _soak(g, 'sae')


def _soak(g: Ground, stage: str) -> str:
  if not os.path.exists('/proc/self/statm'):
    raise NotPossible('there is no /proc to read memory from')
  workdir = g.before(stage, f'soak_{stage}')
  log = g.folder / f'soak_{stage}.samples'
  seconds = g.soak_minutes * 60
  env = {
    'DRILL_SAMPLES': str(log),
    'DRILL_SECONDS': str(min(5, seconds / 600)),
  }
  steps = 'lm.steps' if stage == 'lm' else 'stream.steps'
  # A save every few seconds is more than any real run makes. TensorStore 0.1.86
  # never frees some 16 kB of JSON at each, which a save after every second
  # chunk of these tiny ones would add up.
  more = (
    f'--config.{steps}=100000000',
    '--config.checkpoint.every_chunks=1000',
  )
  with g.start(stage, workdir, *more, patch=SAMPLER, env=env) as child:
    require(child.until(log.exists), f'ended early: {child.err[-300:]}')
    over = after(seconds)
    require(
      child.until(over, limit=seconds + LIMIT, every=0.5),
      f'ended early: {child.err[-300:]}',
    )
    code = child.send(signal.SIGTERM)
    require(code == 128 + signal.SIGTERM, f'SIGTERM: exit code {code}')
  chunks = len(records(workdir, RUN[stage]))
  rows = [tuple(map(int, s.split())) for s in log.read_text().splitlines()]
  rows = rows[int(len(rows) * max(0.25, min(WARM_UP / seconds, 0.75))) :]
  host, device = zip(*rows, strict=True)
  seen, moved = [], []
  for name, samples in (('host', host), ('device', device)):
    size = max(1, len(samples) // WINDOWS)
    windows = [
      statistics.median(samples[i : i + size])
      for i in range(0, len(samples) - size + 1, size)
    ]
    moved.append(max(abs(x / windows[0] - 1) for x in windows))
    seen.append(
      f'{name} MB: first {windows[0] / 1e6:.2f}, last {windows[-1] / 1e6:.2f}, '
      f'max {max(samples) / 1e6:.2f}, moved {moved[-1]:.1%}'
    )
  found = f'{chunks:,} chunks in {g.soak_minutes:g} min; ' + '; '.join(seen)
  require(max(moved) <= FLAT, f'not flat within {FLAT:.0%}: {found}')
  return found


DRILLS: dict[str, Callable[[Ground], str]] = {
  drill.__name__: drill
  for drill in (
    kills,
    kill_in_save,
    read_only,
    disk_full,
    truncated,
    shard_deleted,
    clock,
    soak_lm,
    soak_sae,
  )
}


def row(cells: list[str]) -> str:
  # A program's words may hold what a table is made of.
  plain = [' '.join(cell.replace('|', '/').split()) for cell in cells]
  return '| ' + ' | '.join(plain) + ' |'


def hold(drill: Callable[[Ground], str], g: Ground) -> tuple[str, str]:
  """What a drill saw, and its verdict."""
  try:
    return drill(g), 'pass'
  except NotPossible as e:
    return f'not possible here: {e}', 'not possible'
  except Failed as e:
    return str(e), 'FAIL'
  except Exception as e:  # a drill that breaks has passed nothing
    return f'the drill broke: {e!r}', 'FAIL'


def main(argv: list[str]) -> int:
  """Runs the drills that are named, prints the table; the exit code."""
  parser = argparse.ArgumentParser(
    description=__doc__
    + '\ndrills:\n'
    + '\n'.join(f'  {n:14}{d.__doc__}' for n, d in DRILLS.items()),
    formatter_class=argparse.RawTextHelpFormatter,
  )
  parser.add_argument('drill', nargs='*', help='default: all')
  parser.add_argument('--kills', type=int, default=50)
  parser.add_argument('--soak_minutes', type=float, default=2)
  parser.add_argument('--workdir', help='an empty or new folder')
  args = parser.parse_args(argv)
  unknown = sorted(set(args.drill) - set(DRILLS))
  if unknown:
    parser.error(f'unknown: {", ".join(unknown)} (known: {", ".join(DRILLS)})')
  names = args.drill or list(DRILLS)
  folder = pathlib.Path(args.workdir or tempfile.mkdtemp(prefix='drill_'))
  folder = folder.resolve()
  if folder.exists() and any(folder.iterdir()):
    parser.error(f'--workdir: {folder} holds files already')
  folder.mkdir(parents=True, exist_ok=True)
  g = Ground(folder, args.kills if 'kills' in names else 0, args.soak_minutes)
  g.prepare()
  table = [
    row(['drill', 'what was done', 'what was seen', 'seconds', '']),
    '|---|---|---|---:|---|',
  ]
  verdicts = []
  for name in names:
    print(f'{name}: {DRILLS[name].__doc__} ...', flush=True)
    since = time.monotonic()
    seen, verdict = hold(DRILLS[name], g)
    verdicts.append(verdict)
    seconds = f'{time.monotonic() - since:.0f}'
    print(f'{name}: {verdict}, {seconds} s: {seen}', flush=True)
    table.append(row([name, DRILLS[name].__doc__, seen, seconds, verdict]))
  print('', *table, sep='\n', flush=True)
  if 'FAIL' in verdicts:
    print(f'\nWhat the failed drills left is in {folder}.')
    return 1
  if not args.workdir:
    shutil.rmtree(folder)
  return 0


if __name__ == '__main__':
  # As Ctrl-C, so that nothing is left running or mounted.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  sys.exit(main(sys.argv[1:]))
