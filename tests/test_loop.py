"""The host's loop, with stand-ins for the chunk and the checkpoints."""

import os
import signal
from collections.abc import Iterator
from unittest import mock

import jax.numpy as jnp
import pytest

from monosem_jax.config.errors import Stopped
from monosem_jax.run import loop


class _Saves:
  """Stands in for checkpoints; what happens is written down in `log`."""

  def __init__(self, log):
    self.log = log

  def save(self, done, state):
    self.log.append(('save', done, int(state)))

  def wait(self):
    pass

  def close(self):
    self.log.append(('close',))


def _run(log, *, stop, every, start=0, on=None, **kwargs):
  def chunk(state, x):
    log.append(('chunk', int(x)))
    if on and int(x) in on:
      os.kill(os.getpid(), on[int(x)])
    return state + x, {'x': x}

  def batches() -> Iterator[tuple]:
    for x in range(start + 1, 100):
      yield (jnp.asarray(x),)

  def report(done, stats, finite):
    assert done == stats['x']
    log.append(('report', done))

  return loop.train(
    chunk,
    jnp.asarray(sum(range(start + 1))),
    batches(),
    start=start,
    stop=stop,
    report=report,
    checkpoints=_Saves(log),
    every=every,
    **kwargs,
  )


def test_numbers_are_read_behind_the_next_dispatch_but_before_a_save():
  log = []
  assert _run(log, stop=5, every=3) == 15
  assert log == [
    ('chunk', 1),
    ('chunk', 2),
    ('report', 1),
    ('chunk', 3),
    ('report', 2),
    ('report', 3),
    ('save', 3, 6),
    ('chunk', 4),
    ('chunk', 5),
    ('report', 4),
    ('report', 5),
    ('save', 5, 15),
    ('close',),
  ]


def test_a_continued_run_takes_up_the_count():
  log = []
  assert _run(log, start=3, stop=4, every=3) == 10
  assert log == [('chunk', 4), ('report', 4), ('save', 4, 10), ('close',)]


def test_a_run_with_nothing_left_does_nothing():
  log = []
  assert _run(log, start=5, stop=5, every=3) == 15
  assert log == [('close',)]


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_behind_its_chunk_with_a_save(signum):
  log = []
  before = signal.getsignal(signum)
  with pytest.raises(Stopped, match='after chunk 2 of 5') as e:
    _run(log, stop=5, every=10, on={2: signum})
  assert e.value.signum == signum
  assert signal.Signals(signum).name in str(e.value)
  assert log[-3:] == [('report', 2), ('save', 2, 3), ('close',)]
  assert signal.getsignal(signum) is before


def test_a_signal_in_the_last_chunk_is_not_swallowed():
  log = []
  with pytest.raises(Stopped, match='after chunk 5 of 5'):
    _run(log, stop=5, every=10, on={5: signal.SIGTERM})
  assert log.count(('save', 5, 15)) == 1


def test_a_second_ctrl_c_ends_the_run_at_once():
  log = []

  def observe(done, state):
    if done == 2:
      os.kill(os.getpid(), signal.SIGINT)
      os.kill(os.getpid(), signal.SIGINT)

  with pytest.raises(KeyboardInterrupt):
    _run(log, stop=5, every=10, observe=observe)
  assert not [entry for entry in log if entry[0] == 'save']


def test_no_state_is_saved_whose_report_raises():
  log = []

  def report(done, stats, finite):
    if done == 3:
      raise ValueError('poison')

  with pytest.raises(ValueError, match='poison'):
    loop.train(
      lambda state, x: (state + x, x),
      jnp.zeros(()),
      ((jnp.ones(()),) for _ in range(9)),
      start=0,
      stop=6,
      report=report,
      checkpoints=_Saves(log),
      every=1,
    )
  assert log == [('save', 1, 1), ('save', 2, 2), ('close',)]


def test_the_report_knows_whether_the_state_behind_a_chunk_is_finite():
  found = []
  loop.train(
    lambda state, x: ({'w': state['w'] / x, 'n': state['n']}, jnp.zeros(2)),
    {'w': jnp.ones(3), 'n': jnp.zeros(2, jnp.int32)},
    ((jnp.asarray(x),) for x in (1.0, 2.0, 0.0)),
    start=0,
    stop=3,
    report=lambda done, stats, finite: found.append((done, bool(finite))),
    checkpoints=mock.MagicMock(),
    every=2,
  )
  assert found == [(1, True), (2, True), (3, False)]


def test_every_state_is_observed_once_in_order():
  seen = []
  _run([], stop=4, every=2, observe=lambda done, s: seen.append((done, int(s))))
  assert seen == [(1, 1), (2, 3), (3, 6), (4, 10)]
