"""Runs that are killed, stopped, short of disk or poisoned, and go on.

The yardstick is the finished run of `program.finished`: whatever happened on
the way, the weights are the same, bit for bit. test_drill_kills has trainings
that are killed at random moments.
"""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import warnings

import disks
import jax
import numpy as np
import program
import pytest
import safetensors.numpy
import undisturbed


def _prepare(stage: str, workdir: pathlib.Path) -> pathlib.Path:
  return undisturbed.prepare(stage, workdir, program.finished())


def _as_undisturbed(stage: str, workdir: pathlib.Path) -> None:
  """The weights, the numbers on the way, and the report are the same."""
  undisturbed.compare(workdir, program.finished(), stage)


def test_tokens_killed_at_random_moments_end_on_the_same_bytes(tmp_path):
  draw = random.Random(0)
  started = time.monotonic()
  program.run('tokens', tmp_path / 'timed')
  length = time.monotonic() - started
  workdir, killed = tmp_path / 'run', 0
  for _ in range(6):
    until = time.monotonic() + draw.uniform(0.3, 0.9) * length
    code, out = program.interrupt(
      signal.SIGKILL,
      lambda until=until: time.monotonic() > until,
      'tokens',
      workdir,
    )
    assert code in (-9, 0), out
    killed += code == -9
    if code == 0:  # quicker than the first one; the next kill starts anew
      shutil.rmtree(workdir)
    if code == -9 and not (workdir / 'tokens/store').exists():
      # Half done, it is not mistaken for done.
      code, _ = program.call(
        'lm', f'--config={program.config()}', f'--workdir={workdir}'
      )
      assert code == 2
  assert killed
  program.run('tokens', workdir)
  wanted = program.files(program.finished() / 'tokens')
  assert program.files(workdir / 'tokens') == wanted
  assert not list((workdir / 'tokens').glob('.*'))


def test_tokens_killed_before_the_last_rename_start_again(tmp_path):
  """A kill where it is most dangerous: everything written, nothing renamed."""
  killer = tmp_path / 'sitecustomize.py'
  killer.write_text(
    'import os, signal\n'
    'replace = os.replace\n'
    'def kill(source, target, **more):\n'
    '  if str(target).endswith("store"): os.kill(os.getpid(), signal.SIGKILL)\n'
    '  return replace(source, target, **more)\n'
    'os.replace = kill\n'
  )
  workdir = tmp_path / 'run'
  done = subprocess.run(
    program.command('tokens', workdir),
    env=program.environment()
    | {'PYTHONPATH': f'{tmp_path}{os.pathsep}{program.ROOT}'},
    capture_output=True,
  )
  assert done.returncode == -9, done.stderr
  assert not (workdir / 'tokens/store').exists()
  program.run('tokens', workdir)
  wanted = program.files(program.finished() / 'tokens')
  assert program.files(workdir / 'tokens') == wanted


@pytest.mark.parametrize(
  ('stage', 'signum', 'name', 'code'),
  [
    ('lm', signal.SIGINT, 'SIGINT', 130),
    ('sae', signal.SIGTERM, 'SIGTERM', 143),
  ],
)
def test_a_signal_saves_says_how_to_go_on_and_loses_nothing(
  stage, signum, name, code, tmp_path
):
  workdir = _prepare(stage, tmp_path)
  known = undisturbed.STAGES[stage]
  rare = '--config.checkpoint.every_chunks=1000'
  found, out = program.interrupt(
    signum, undisturbed.reported(workdir, stage, 3), stage, workdir, rare
  )
  assert found == code, out
  assert 'Traceback' not in out
  assert f'{name}: saved after chunk ' in out
  assert 'The same command goes on from here.' in out
  assert not (workdir / known.results[0]).exists()
  done = int(out.partition('saved after chunk ')[2].split()[0])
  assert undisturbed.whole(workdir, stage) == [done]
  assert undisturbed.unfinished(workdir, stage) == []
  # What was reported goes to that chunk, no further.
  assert len(program.records(workdir, known.run)) == done
  steps, wanted = (done, 12) if stage == 'lm' else (4 * done, 48)
  again = program.run(stage, workdir, rare).stdout
  assert f'{steps} of {wanted} steps are done' in again
  _as_undisturbed(stage, workdir)


@pytest.mark.parametrize('stage', ['lm', 'sae'])
def test_trainings_killed_go_on_from_their_last_checkpoint(stage, tmp_path):
  workdir = _prepare(stage, tmp_path)
  when = undisturbed.reported(workdir, stage, 6)
  code, out = program.interrupt(signal.SIGKILL, when, stage, workdir)
  assert code == -signal.SIGKILL, out
  done = undisturbed.whole(workdir, stage)[-1]
  steps = done * undisturbed.STAGES[stage].steps_per_chunk
  assert f' {steps} of ' in program.run(stage, workdir).stdout
  _as_undisturbed(stage, workdir)


@pytest.mark.parametrize(
  ('signum', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_where_there_is_no_chunk_ends_without_a_traceback(
  signum, code, tmp_path
):
  # Half a second in, Python still imports or reads the first documents.
  found, out = program.interrupt(
    signum, (tmp_path / 'run/tokens/stamp.json').exists, 'all', tmp_path / 'run'
  )
  assert found == code, out
  assert 'Traceback' not in out
  assert 'The same command goes on from here.' in out
  assert not (tmp_path / 'run/tokens/store').exists()


def test_a_damaged_newest_checkpoint_costs_time_but_no_bit(tmp_path):
  stage = 'sae'
  workdir = _prepare(stage, tmp_path)
  checkpoints = workdir / undisturbed.STAGES[stage].checkpoints
  when = undisturbed.reported(workdir, stage, 5)
  program.interrupt(signal.SIGTERM, when, stage, workdir)
  saved = sorted(checkpoints.iterdir(), key=_number)
  (arrays,) = (saved[-1] / 'state/d').iterdir()
  os.truncate(arrays, arrays.stat().st_size // 2)
  out = program.run(stage, workdir).stdout
  assert f'{saved[-1]} cannot be read' in out
  assert f'{4 * _number(saved[-2])} of 48 steps are done' in out
  _as_undisturbed(stage, workdir)


def _number(path: pathlib.Path) -> int:
  return int(path.name)


@pytest.mark.parametrize(
  ('stage', 'overrides'),
  [
    ('lm', ['lm.lr=1e30']),
    # One step a chunk, whose weights are infinite behind a finite loss.
    (
      'sae',
      [
        'sae.lr=1e39',
        'stream.batch_size=128',
        'stream.steps=12',
        'sae.resampling.candidates=128',
      ],
    ),
  ],
)
def test_numbers_that_are_not_finite_stop_the_run_and_are_never_saved(
  stage, overrides, tmp_path
):
  workdir = _prepare(stage, tmp_path)
  known = undisturbed.STAGES[stage]
  more = [f'--config.{o}' for o in (*overrides, 'checkpoint.keep=99')]
  err = program.run(stage, workdir, *more, code=2).stderr
  step = int(
    err.partition(f'error: {known.run}: the numbers of step ')[2].split()[0]
  )
  assert not (workdir / known.results[0]).exists()
  assert len(program.records(workdir, known.run)) == step - 1
  saved = sorted((workdir / known.checkpoints).iterdir(), key=_number)
  assert [_number(p) for p in saved] == [*range(1, step)]
  for path in saved:
    for x in jax.tree.leaves(_arrays(path)):
      assert np.isfinite(np.asarray(x)).all(), path
  for path in workdir.rglob('snapshots/*/*.safetensors'):
    for x in safetensors.numpy.load_file(path).values():
      assert np.isfinite(x).all(), path


def _arrays(checkpoint: pathlib.Path):
  """Everything in a checkpoint, whatever it is."""
  try:
    import orbax.checkpoint.v1 as ocp
  except ImportError:
    import orbax.checkpoint.experimental.v1 as ocp
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # no placement was asked for
    return ocp.load_checkpointables(checkpoint)['state']


def test_a_disk_full_of_checkpoints_stops_the_run_and_costs_no_bit(tmp_path):
  stage = 'sae'
  with disks.small(tmp_path / 'disk', '24m') as disk:
    workdir = _prepare(stage, disk / 'run')
    code, out = program.interrupt(
      signal.SIGTERM, undisturbed.reported(workdir, stage, 2), stage, workdir
    )
    assert code == 143, out
    # Room for some chunks' numbers, and for less than one checkpoint each.
    fill = disks.fill(disk, 40_000)
    err = program.run(
      stage, workdir, '--config.checkpoint.keep=99', code=2
    ).stderr
    assert 'disk full' in err
    assert 'Free some space' in err
    assert not (workdir / program.SAE).exists()
    fill.unlink()
    out = program.run(stage, workdir).stdout
    assert 'cannot be read' not in out
    _as_undisturbed(stage, workdir)


def test_a_disk_with_no_room_for_a_line_of_metrics(tmp_path):
  stage = 'sae'
  with disks.small(tmp_path / 'disk', '24m') as disk:
    workdir = _prepare(stage, disk / 'run')
    program.interrupt(
      signal.SIGTERM, undisturbed.reported(workdir, stage, 2), stage, workdir
    )
    fill = disks.fill(disk, 0)
    err = program.run(stage, workdir, code=2).stderr
    assert 'disk full' in err
    fill.unlink()
    program.run(stage, workdir)
    _as_undisturbed(stage, workdir)


@pytest.mark.parametrize('room', [0, 8_192, 120_000])
def test_a_full_disk_in_the_tokens_stage(room, tmp_path):
  with disks.small(tmp_path / 'disk', '2m') as disk:
    workdir = disk / 'run'
    fill = disks.fill(disk, room)
    err = program.run('tokens', workdir, code=2).stderr
    assert 'full' in err
    assert not (workdir / 'tokens/store').exists()
    fill.unlink()
    program.run('tokens', workdir)
    wanted = program.files(program.finished() / 'tokens')
    assert program.files(workdir / 'tokens') == wanted
