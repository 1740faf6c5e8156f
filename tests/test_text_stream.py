"""The stream covers each epoch once and can be entered anywhere."""

import gc
import json
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from monosem_jax.config.errors import UserError
from monosem_jax.config.settings import Text, Tokenizer
from monosem_jax.text.store import TokenStore, write_store
from monosem_jax.text.stream import batches

flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope='module')
def store(tmp_path_factory) -> TokenStore:
  return write(tmp_path_factory.mktemp('stream'))


def write(folder: Path) -> TokenStore:
  rng = random.Random(0)
  with open(folder / 'x.jsonl', 'w') as file:
    for _ in range(150):
      file.write(json.dumps({'text': f'{rng.random()} ' * 20}) + '\n')
  text = Text(
    source='jsonl',
    paths=(str(folder / 'x.jsonl'),),
    val_fraction=0.1,
    context=8,
    contexts_per_record=12,
  )
  write_store(folder / 'store', text, Tokenizer(vocab_size=300))
  return TokenStore.open(folder / 'store')


def take(iterator, n: int):
  found = [next(iterator) for _ in range(n)]
  iterator.close()
  return found


def assert_same(left, right) -> None:
  assert len(left) == len(right)
  for a, b in zip(left, right, strict=True):
    for x, y in zip(a, b, strict=True):
      np.testing.assert_array_equal(x, y)


def stored(store: TokenStore, split: str) -> np.ndarray:
  n = store.n_contexts(split) // store.contexts_per_record
  return np.concatenate([store.read(split, i)[0] for i in range(n)])


# 7 and 12 have no common divisor; 30 spans records; 24 is two of them.
@pytest.mark.parametrize('batch_size', [7, 12, 24, 30])
def test_every_epoch_holds_each_context_once(store, batch_size):
  n = store.n_contexts('train')
  found = take(
    batches(store, 'train', batch_size, seed=3, start=0),
    3 * n // batch_size + 1,
  )
  context = np.concatenate([batch.context_B for batch in found])[: 3 * n]
  epoch = np.concatenate([batch.epoch_B for batch in found])[: 3 * n]
  tokens = np.concatenate([batch.tokens_BT for batch in found])[: 3 * n]
  np.testing.assert_array_equal(epoch, np.repeat(np.arange(3), n))
  orders = context.reshape(3, n)
  for order in orders:
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
  assert (orders[0] != orders[1]).mean() > 0.9
  assert (orders[1] != orders[2]).mean() > 0.9
  np.testing.assert_array_equal(tokens, stored(store, 'train')[context])
  for batch in found:
    assert batch.tokens_BT.shape == (batch_size, 8)
    assert [x.dtype for x in batch] == [np.int32] * 3


@pytest.mark.parametrize('start', [1, 5, 40, 10_000])
def test_a_resumed_stream_equals_the_continued_one(store, start):
  args = (store, 'train', 36)
  resumed = take(batches(*args, seed=1, start=start), 6)
  if start < 100:
    continued = take(batches(*args, seed=1, start=0), start + 6)[start:]
    assert_same(resumed, continued)
  # At once, however far: by then nothing has been read.
  began = time.monotonic()
  take(batches(*args, seed=1, start=10**12), 1)
  assert time.monotonic() - began < 5


@pytest.mark.parametrize('batch_size', [12, 36])
def test_some_rows_are_those_of_the_whole_batch(store, batch_size):
  args = (store, 'train', batch_size)
  alone = take(batches(*args, seed=1, start=4), 5)
  for rows in (
    np.arange(batch_size)[:4],
    np.arange(batch_size)[1::3],  # such as processes that take turns
    np.array([7, 3, 3, 0]),
  ):
    found = take(batches(*args, seed=1, start=4, rows_b=rows), 5)
    assert_same(found, [tuple(x[rows] for x in batch) for batch in alone])


def test_seeds_give_different_orders(store):
  n = store.n_contexts('train')

  def order(seed):
    found = take(batches(store, 'train', 12, seed=seed, start=0), n // 6)
    return np.concatenate([batch.context_B for batch in found])

  np.testing.assert_array_equal(order(5), order(5))
  assert (order(5) != order(6)).mean() > 0.9
  # Nor is one seed's second epoch another's first.
  assert (order(6)[:n] != order(5)[n:]).mean() > 0.9


@pytest.mark.parametrize('batch_size', [12, 50, 10_000_000])
def test_one_pass_in_stored_order(store, batch_size):
  args = (store, 'val', batch_size)
  found = list(batches(*args, seed=None, start=0, epochs=1))
  tokens = np.concatenate([batch.tokens_BT for batch in found])
  np.testing.assert_array_equal(tokens, stored(store, 'val'))
  n = store.n_contexts('val')
  sizes = [len(batch.context_B) for batch in found]
  assert sizes[:-1] == [batch_size] * (n // batch_size - (n % batch_size == 0))
  rest = list(batches(*args, seed=None, start=1, epochs=1))
  assert_same(rest, found[1:])
  assert list(batches(*args, seed=None, start=10_000, epochs=1)) == []


def reading_threads() -> int:
  gc.collect()
  return sum('grain' in thread.name for thread in threading.enumerate())


def test_closing_or_dropping_ends_the_threads(store):
  before = reading_threads()
  iterator = batches(store, 'train', 12, seed=0, start=0)
  next(iterator)
  iterator.close()
  iterator = batches(store, 'train', 12, seed=0, start=0)
  next(iterator)
  del iterator
  deadline = time.monotonic() + 10
  while reading_threads() > before and time.monotonic() < deadline:
    time.sleep(0.05)
  assert reading_threads() <= before


@pytest.mark.parametrize('damage', ['vanished', 'cut', 'cut while open'])
def test_a_damaged_file_is_named(tmp_path, damage):
  store = write(tmp_path)
  (file,) = store.manifest['splits']['train']['files']
  path = store.directory / file['name']
  if damage == 'cut while open':
    store.read('train', 0)
  if damage == 'vanished':
    path.unlink()
  else:
    path.write_bytes(path.read_bytes()[:12_000])
  with pytest.raises(UserError, match=file['name']):
    list(batches(store, 'train', 12, seed=0, start=0, epochs=1))
