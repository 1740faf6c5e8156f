"""Files that are cut short or go missing."""

import itertools
import os
import shutil
import signal

import drill
import pytest
import undisturbed

pytestmark = pytest.mark.slow


def test_each_file_of_the_newest_checkpoint_cut_costs_time_but_no_bit(tmp_path):
  stage = 'sae'
  workdir = drill.prepare(stage, tmp_path / 'run')
  directory = workdir / undisturbed.STAGES[stage].checkpoints
  with drill.start(stage, workdir) as child:
    child.until(undisturbed.reported(workdir, stage, drill.CHUNKS - 6))
    assert child.send(signal.SIGTERM) == 128 + signal.SIGTERM
  *_, before, newest = undisturbed.whole(workdir, stage)
  names = [
    p.relative_to(workdir)
    for p in sorted((directory / str(newest)).rglob('*'))
    if p.is_file() and p.stat().st_size
  ]
  # Each takes a start of the program; test_checkpoint.py cuts every file.
  cuts = list(itertools.product(names, (0.5, 0)))
  fell_back = 0
  for i, (name, share) in enumerate(cuts[:: max(1, len(cuts) // drill.CUTS)]):
    copy = tmp_path / str(i)
    shutil.copytree(workdir, copy)
    damaged = copy / name
    os.truncate(damaged, int(damaged.stat().st_size * share))
    out = drill.run(stage, copy).stdout
    # It says so where it goes on from the checkpoint before; some files are
    # not needed.
    passed_over = f'{newest} cannot be read' in out
    done = drill.steps(before if passed_over else newest, stage)
    assert f' {done} of ' in out, name
    drill.compare(copy, stage)
    fell_back += passed_over
    shutil.rmtree(copy)
  assert fell_back, 'no damage was seen'


# Files of one record each, so that some are not open yet.
SMALL = 'from monosem_jax.text import records; records.SHARD_BYTES = 1'


def test_a_file_of_tokens_deleted_and_put_back_costs_no_bit(tmp_path):
  workdir, alone = tmp_path / 'run', tmp_path / 'alone'
  # Some epochs: whatever was read ahead, every file is needed once more.
  longer = '--config.lm.steps=240'
  drill.run('tokens', workdir, patch=SMALL)
  shutil.copytree(workdir, alone)
  drill.run('lm', alone, longer)
  shards = sorted((workdir / 'tokens/store').glob('train*'))
  assert len(shards) > 8
  with drill.start('lm', workdir, longer) as child:
    child.until(undisturbed.reported(workdir, 'lm', 2))
    shard = next((s for s in shards if not child.opens(s)), shards[-1])
    aside = workdir / 'aside'
    shard.rename(aside)
    assert str(shard) in child.refusal()
  with drill.start('lm', workdir, longer) as again:
    assert str(shard) in again.refusal()
  aside.rename(shard)
  drill.run('lm', workdir, longer)
  undisturbed.compare(workdir, alone, 'lm')
