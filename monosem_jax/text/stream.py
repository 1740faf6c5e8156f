"""Streams batches of contexts, from any position and in any process.

Contexts are shuffled in groups that lie in one record. Batch i is a function of
i, so the position in the stream is the number of the next batch.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from monosem_jax.text.store import TokenStore


class Batch(NamedTuple):
  """A batch of contexts.

  Attributes:
    tokens_BT: token ids, int32.
    context_B: index of each context in the store, record * K + slot, int32.
    epoch_B: epoch of each context, from 0, int32.
  """

  tokens_BT: np.ndarray
  context_B: np.ndarray
  epoch_B: np.ndarray


class Batches(Iterator[Batch], Protocol):
  """An iterator whose `close()` stops the threads that read ahead."""

  def close(self) -> None: ...


def batches(
  store: TokenStore,
  split: str,
  batch_size: int,
  *,
  seed: int | Sequence[int] | None,
  start: int,
  rows_b: np.ndarray | None = None,
  epochs: int | None = None,
) -> Batches:
  """Yields a split's batches from number `start` on, read ahead in threads.

  Every epoch contains each context once, in a different order. A batch may span
  two epochs.

  Args:
    store: the store to read.
    split: train | val.
    batch_size: B, contexts per batch over all processes.
    seed: random seed of the order, one number or several; None for the stored
      order.
    start: number of the first batch.
    rows_b: the rows of each batch that this process reads and yields, in this
      order; None for all.
    epochs: number of epochs; None for an endless stream. With a number, the
      last batch may be smaller.

  Raises:
    UserError: a file is missing, truncated or corrupt when it is read.
  """
  # grain imports jax, which a program may want to configure first.
  import grain

  per_record = store.contexts_per_record
  # The largest groups that divide records and batches need the fewest reads.
  group = math.gcd(batch_size, per_record)
  n_groups = store.n_contexts(split) // group

  def read(groups: tuple[np.ndarray, np.ndarray]) -> Batch:
    group_G, epoch_G = groups
    context_B = (group_G[:, None] * group + np.arange(group)).ravel()
    epoch_B = np.repeat(epoch_G, group)
    if rows_b is not None:
      context_B, epoch_B = context_B[rows_b], epoch_B[rows_b]
    return Batch(
      store.tokens(split, context_B),
      context_B.astype(np.int32),
      epoch_B.astype(np.int32),
    )

  order = grain.MapDataset.range(n_groups)
  if seed is not None:
    # In grain, epoch e of seed s has the order of epoch e - 1 of seed s + 1.
    # Hashing the seed keeps orders of neighbouring seeds apart.
    order = order.shuffle(
      int(np.random.SeedSequence(seed).generate_state(1)[0])
    )
  order = order.repeat(epochs)
  # The index i counts over all epochs.
  order = order.map_with_index(lambda i, group: (group, i // n_groups))
  # The length of an endless order, sys.maxsize, must not be rounded up.
  endless = epochs is None
  order = order.batch(batch_size // group, drop_remainder=endless)
  # Two threads read up to four batches ahead while the program trains.
  ahead = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
  return iter(order[start:].map(read).to_iter_dataset(ahead))
