"""Disks that turn read-only or fill up amid a training."""

import disks
import drill
import pytest
import undisturbed

pytestmark = pytest.mark.slow
STAGE = 'sae'
CHECKPOINTS = undisturbed.STAGES[STAGE].checkpoints
WAYS = {
  'mount': (disks.read_only_mount, lambda: ()),
  'permission': (disks.no_write_permission, disks.ordinary),
}


@pytest.mark.parametrize('way', WAYS)
def test_checkpoints_that_turn_read_only_stop_the_run_and_cost_no_bit(
  way, tmp_path
):
  made_read_only, prefix = WAYS[way]
  how = {'prefix': prefix()}
  workdir = drill.prepare(STAGE, tmp_path / 'run')
  directory = workdir / CHECKPOINTS
  with drill.start(STAGE, workdir, **how) as child:
    child.until(undisturbed.reported(workdir, STAGE, 5))
    with made_read_only(directory):
      assert str(directory) in child.refusal()
      there = undisturbed.whole(workdir, STAGE)
      # Nor does it start as long as it could not save.
      with drill.start(STAGE, workdir, **how) as again:
        assert str(directory) in again.refusal()
  assert there, 'there was no checkpoint to go on from'
  out = drill.run(STAGE, workdir).stdout
  assert f' {drill.steps(there[-1], STAGE)} of ' in out
  drill.compare(workdir, STAGE)


def test_a_disk_that_fills_up_stops_the_run_and_costs_no_bit(tmp_path):
  # A limit of file sizes would be another error (EFBIG), so no stand-in.
  with disks.small(tmp_path / 'disk', '24m') as disk:
    workdir = drill.prepare(STAGE, disk / 'run')
    with drill.start(STAGE, workdir) as child:
      child.until(undisturbed.reported(workdir, STAGE, 5))
      fill = disks.fill_slowly(disk)
      assert 'disk full' in child.refusal()
    assert undisturbed.whole(workdir, STAGE), 'no checkpoint to go on from'
    fill.unlink()
    out = drill.run(STAGE, workdir).stdout
    assert 'cannot be read' not in out
    drill.compare(workdir, STAGE)
