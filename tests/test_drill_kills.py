"""Runs killed with -9, at random moments of all stages and amid saves."""

import pathlib
import random
import time

import drill
import pytest
import undisturbed

pytestmark = pytest.mark.slow
ALL = ('tokens', 'lm', 'sae', 'features')


def _victims(kills: int) -> list[str]:
  """The stages in which the kills fall, most of them in trainings."""
  few = max(1, kills // 10) if kills > 3 else 0
  half = (kills - 2 * few) // 2
  return (
    ['tokens'] * few
    + ['lm'] * half
    + ['sae'] * (kills - 2 * few - half)
    + ['features'] * few
  )


def _seconds_of_tokens(workdir: pathlib.Path) -> float:
  """From the first file of the stage to its last."""
  with drill.start('tokens', workdir) as child:
    child.until((workdir / 'tokens/stamp.json').exists)
    since = time.monotonic()
    child.until((workdir / undisturbed.STAGES['tokens'].last).exists)
    return time.monotonic() - since


def _moment(draw: random.Random, workdir: pathlib.Path, stage: str):
  """What a kill waits for, and the seconds after it."""
  kind = draw.choice(('start', 'chunk', 'save'))
  if stage == 'features':
    return lambda: drill.under_way(workdir) == stage, draw.uniform(0, 1)
  if kind == 'chunk':
    chunks = draw.randint(1, 4)
    now = undisturbed.reported(workdir, stage, chunks)
    return now, draw.uniform(0, 0.02)
  if kind == 'save':
    return drill.saving(workdir, stage), draw.uniform(0, 0.02)
  return drill.after(0), draw.uniform(0.1, 2)


def test_runs_killed_at_random_moments_end_on_the_same_bits(tmp_path):
  draw = random.Random(0)
  workdir = tmp_path / 'run'
  stages = _victims(drill.KILLS)
  length = _seconds_of_tokens(tmp_path / 'timed') if 'tokens' in stages else 0.0
  for n, stage in enumerate(stages):
    if stage == 'tokens':
      first = drill.written(workdir / 'tokens/stamp.json')
      pause = draw.uniform(0, length)
    else:
      first, pause = _moment(draw, workdir, stage)
    with drill.start('all', workdir) as child:
      child.until(first)
      child.until(drill.after(pause))
      said = f'over after {n} of {drill.KILLS} kills: {child.err}'
      assert child.kill(), said
  drill.run('all', workdir)
  drill.compare(workdir, *ALL)


@pytest.mark.parametrize('stage', ['lm', 'sae'])
def test_a_half_written_checkpoint_is_not_taken_for_a_whole_one(
  stage, tmp_path
):
  draw = random.Random(1)
  workdir = drill.prepare(stage, tmp_path / 'run')
  hits = starts = 0
  while hits < 4:
    starts += 1
    assert starts <= 20, f'{hits} of 20 kills hit a save'
    before = undisturbed.whole(workdir, stage)
    wanted = max(before, default=0) + draw.randint(0, 3)
    with drill.start(stage, workdir) as child:
      child.until(drill.saved(workdir, stage, wanted))
      assert child.until(drill.saving(workdir, stage)), 'done too early'
      time.sleep(draw.uniform(0, 0.01))
      child.kill()
      assert 'cannot be read' not in child.out
    hits += bool(undisturbed.unfinished(workdir, stage))
    after = undisturbed.whole(workdir, stage)
    assert after[-1:] >= before[-1:], 'a checkpoint is gone'
  assert 'cannot be read' not in drill.run(stage, workdir).stdout
  drill.compare(workdir, stage)


# Another order of the text in each process.
OTHER_ORDER = """
import os
from numpy import random
sound = random.SeedSequence
random.SeedSequence = lambda *args, **named: sound(os.getpid())
"""


def test_a_program_that_ends_elsewhere_is_found(tmp_path):
  workdir = drill.prepare('lm', tmp_path / 'run')
  drill.run('lm', workdir, patch=OTHER_ORDER)
  with pytest.raises(AssertionError, match=r'model\.safetensors: other bytes'):
    drill.compare(workdir, 'lm')
