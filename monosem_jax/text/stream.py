"""Batches of contexts in an order that any process can enter anywhere.

The order is one of groups of contexts that lie in one record. Everything about
batch number i is computed from i, so a position in the stream is i alone.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from monosem_jax.text.store import TokenStore


class Batch(NamedTuple):
  """Contexts and what they are.

  Attributes:
    tokens_BT: int32 token ids.
    context_B: int32 number of each context in the store: record * K + slot.
    epoch_B: int32 epoch each context belongs to, from 0.
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
  rows: np.ndarray | None = None,
  epochs: int | None = None,
) -> Batches:
  """Yields a split's batches from number `start` on, read ahead in threads.

  Every epoch holds each context once, in an order of its own; a batch may span
  two epochs.

  Args:
    store: the store to read.
    split: train | val.
    batch_size: contexts of a batch, whoever reads them.
    seed: of the order, one number or several; None for the stored order.
    start: number of the first batch.
    rows: numbers of those contexts of each batch that are read and yielded, in
      this order; None: all. For a process that holds a part of the batch.
    epochs: None never ends; otherwise the last batch may be smaller.

  Raises:
    UserError: while reading, a file that is gone, cut short or corrupt.
  """
  # Imports jax, which a program may want to configure first.
  import grain

  per_record = store.contexts_per_record
  # Groups as large as fit both a record and a batch: fewest reads.
  group = math.gcd(batch_size, per_record)
  n_groups = store.n_contexts(split) // group

  def read(groups: tuple[np.ndarray, np.ndarray]) -> Batch:
    group_index, epoch = groups
    context = (group_index[:, None] * group + np.arange(group)).ravel()
    epoch = np.repeat(epoch, group)
    if rows is not None:
      context, epoch = context[rows], epoch[rows]
    return Batch(
      store.tokens(split, context),
      context.astype(np.int32),
      epoch.astype(np.int32),
    )

  order = grain.MapDataset.range(n_groups)
  if seed is not None:
    # grain's epoch e of seed s is epoch e - 1 of s + 1: neighbouring seeds
    # would give the same orders.
    order = order.shuffle(
      int(np.random.SeedSequence(seed).generate_state(1)[0])
    )
  order = order.repeat(epochs)
  # The index is the one over all epochs.
  order = order.map_with_index(lambda i, group: (group, i // n_groups))
  # An endless order's length, sys.maxsize, must not be rounded up.
  endless = epochs is None
  order = order.batch(batch_size // group, drop_remainder=endless)
  # Two threads read and unpack while the program trains; four batches wait.
  ahead = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
  return iter(order[start:].map(read).to_iter_dataset(ahead))
