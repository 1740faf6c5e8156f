"""metrics.jsonl, TensorBoard events, the progress line."""

import json
import re
import time

import numpy as np
import pytest

from monosem_jax.config.errors import UserError
from monosem_jax.run import metrics


def _reporter(tmp_path, *, start=0, stop=4, run='lm/A', **more):
  return metrics.Reporter(
    tmp_path,
    run,
    start=start,
    stop=stop,
    steps_per_chunk=5,
    units_per_chunk=100,
    unit='tok',
    summarise=lambda stats: ({'loss': stats[0]}, np.asarray(stats[1])),
    **more,
  )


FINE = (1.5, [True] * 5)


def test_the_rate_leaves_the_first_chunk_out(tmp_path):
  reporter = _reporter(tmp_path)
  assert reporter.rate() is None
  time.sleep(0.3)  # compiling
  reporter(1, FINE)
  assert reporter.rate() is None
  for done in (2, 3):
    time.sleep(0.05)
    reporter(done, FINE)
  # 200 units in 0.1 s and a little; with the first chunk it were 300 in 0.4 s.
  assert 900 < reporter.rate() <= 2_000
  reporter.close()


def test_achieved_flops_and_utilisation_are_written_and_shown(tmp_path, capsys):
  reporter = _reporter(tmp_path, flops_per_chunk=2e9, peak_flops=1e12)
  assert set(reporter.timing().values()) == {None}
  for done in (1, 2, 3):
    time.sleep(0.05)
    reporter(done, FINE)
  first, *others = metrics.read(tmp_path, 'lm/A')
  assert 'units_per_second' not in first
  for numbers in (*others, reporter.timing()):
    # At most 20 chunks of 100 units a second.
    assert 0 < numbers['units_per_second'] <= 2_000
    flops = numbers['units_per_second'] / 100 * 2e9
    assert numbers['flops_per_second'] == pytest.approx(flops)
    assert numbers['mfu'] == pytest.approx(flops / 1e12)
  assert reporter.rate() == reporter.timing()['units_per_second']
  reporter(4, FINE)
  reporter.close()
  shown = capsys.readouterr().err
  assert re.search(r'loss 1.5, [\d.]+ GFLOP/s, MFU [\d.]+%\]', shown)


def test_without_a_peak_there_is_no_utilisation(tmp_path):
  reporter = _reporter(tmp_path, flops_per_chunk=2e9)
  for done in (1, 2):
    time.sleep(0.01)
    reporter(done, FINE)
  reporter.close()
  assert 'mfu' not in metrics.read(tmp_path, 'lm/A')[1]
  assert reporter.timing()['mfu'] is None
  assert reporter.timing()['flops_per_second'] > 0


def test_the_progress_line_shows_rate_and_time_left_in_a_log(tmp_path, capsys):
  reporter = _reporter(tmp_path, start=1)
  reporter(2, FINE)
  reporter._bar.refresh()
  reporter(3, FINE)
  reporter(4, FINE)
  reporter.close()
  err = capsys.readouterr().err
  assert re.search(r'lm/A: +50%.*200/400 \[\d\d:\d\d<\d\d:\d\d, .*tok/s', err)
  assert re.search(r'lm/A: 100%.*tok/s, loss 1.5\]', err)


@pytest.mark.parametrize(
  ('finite', 'state', 'step'),
  [
    ([True, True, False, False, False], False, 13),
    ([True, True, False, True, True], True, 13),
    ([True] * 5, False, 15),
  ],
)
def test_numbers_that_are_not_finite_stop_the_run_by_step(
  tmp_path, finite, state, step
):
  reporter = _reporter(tmp_path)
  reporter(1, FINE)
  reporter(2, FINE)
  with pytest.raises(UserError, match=rf'lm/A: .*step {step} ') as e:
    reporter(3, (float('nan'), finite), state)
  assert 'last checkpoint' in str(e.value)
  reporter.close()
  assert [r['step'] for r in metrics.read(tmp_path, 'lm/A')] == [5, 10]


def test_a_run_that_goes_on_takes_back_what_it_will_say_again(tmp_path):
  for run in ('lm/A', 'sae/A'):
    reporter = _reporter(tmp_path, run=run)
    for done in (1, 2, 3):
      reporter(done, FINE)
    reporter.close()
  path = tmp_path / 'metrics.jsonl'
  with path.open('a') as f:
    f.write('{"run": "sae/A", "step": 20, "lo')  # killed while it wrote
  reporter = _reporter(tmp_path, start=1)
  reporter(2, (2.5, [True] * 5))
  reporter.close()
  found = [json.loads(line) for line in path.read_text().splitlines()]
  assert [(r['run'], r['step'], r['loss']) for r in found] == [
    ('lm/A', 5, 1.5),
    ('sae/A', 5, 1.5),
    ('sae/A', 10, 1.5),
    ('sae/A', 15, 1.5),
    ('lm/A', 10, 2.5),
  ]
  assert [r['step'] for r in metrics.read(tmp_path, 'lm/A')] == [5, 10]


def test_tensorboard_reads_the_same_numbers_without_tensorflow(tmp_path):
  reporter = _reporter(tmp_path)
  reporter(1, (1.5, [True] * 5))
  reporter(2, (0.5, [True] * 5))
  reporter.close()
  (path,) = (tmp_path / 'tensorboard' / 'lm-A').iterdir()
  assert 'tfevents' in path.name
  scalars = _scalars(path)
  assert [s for s in scalars if s[0] == 'loss'] == [
    ('loss', 5, 1.5),
    ('loss', 10, 0.5),
  ]
  assert [s[:2] for s in scalars if s[0] != 'loss'] == [
    ('units_per_second', 10)
  ]


def _scalars(path):
  import struct

  from tensorboardX.proto import event_pb2

  data, at, found = path.read_bytes(), 0, []
  while at < len(data):
    (size,) = struct.unpack_from('<Q', data, at)
    event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
    at += 16 + size
    found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
  return found
