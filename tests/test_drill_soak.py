"""Trainings without an end in sight, and their memory."""

import os
import signal
import statistics

import drill
import pytest

pytestmark = pytest.mark.slow
# Share by which memory may move after the first quarter, and after that many
# seconds at least, in which it warms up; windows whose medians count.
FLAT = 0.02
WARM_UP = 60.0
WINDOWS = 6

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


@pytest.mark.skipif(
  not os.path.exists('/proc/self/statm'), reason='no /proc to read memory from'
)
@pytest.mark.parametrize(
  ('stage', 'steps'), [('lm', 'lm.steps'), ('sae', 'stream.steps')]
)
def test_memory_is_flat(stage, steps, tmp_path):
  workdir = drill.prepare(stage, tmp_path / 'run')
  log = tmp_path / 'samples'
  seconds = drill.SOAK_MINUTES * 60
  env = {
    'DRILL_SAMPLES': str(log),
    'DRILL_SECONDS': str(min(5, seconds / 600)),
  }
  # A save every few seconds is more than any real run makes. TensorStore 0.1.86
  # never frees some 16 kB of JSON at each, which a save after every second
  # chunk of these tiny ones would add up.
  more = (
    f'--config.{steps}=100000000',
    '--config.checkpoint.every_chunks=1000',
  )
  with drill.start(stage, workdir, *more, patch=SAMPLER, env=env) as child:
    assert child.until(log.exists), f'ended early: {child.err}'
    over = drill.after(seconds)
    assert child.until(over, limit=seconds + 300, every=0.5), child.err
    assert child.send(signal.SIGTERM) == 128 + signal.SIGTERM
  rows = [tuple(map(int, s.split())) for s in log.read_text().splitlines()]
  rows = rows[int(len(rows) * max(0.25, min(WARM_UP / seconds, 0.75))) :]
  host, device = zip(*rows, strict=True)
  for name, samples in (('host', host), ('device', device)):
    size = max(1, len(samples) // WINDOWS)
    windows = [
      statistics.median(samples[i : i + size])
      for i in range(0, len(samples) - size + 1, size)
    ]
    moved = max(abs(x / windows[0] - 1) for x in windows)
    assert moved <= FLAT, f'{name}: {windows[0]} to {windows[-1]} bytes'
