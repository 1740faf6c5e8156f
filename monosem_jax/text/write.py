"""Writes the packed token store in three passes.

Pass 0 trains the tokenizer on a sample, or loads one. Pass 1 encodes every
document into one stream per split. Pass 2 cuts the streams into contexts and
stores them in random order.
"""

import contextlib
import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text import manifest as manifests, publish, records, selection
from monosem_jax.text.document import Document
from monosem_jax.text.table import TableBuilder
from monosem_jax.text.tokenizer import Tokenizer

# Number of characters encoded at a time: enough to use all cores, and some 100
# MB of encodings.
_BATCH_CHARS = 1_000_000
_PROGRESS_SECONDS = 10.0

Progress = Callable[[str], None]


def write_store(
  directory: str | Path,
  text: settings.Text,
  tokenizer: settings.Tokenizer,
  progress: Progress | None = None,
) -> dict[str, Any]:
  """Writes a store and returns its manifest.

  The store is written beside `directory` and renamed when it is complete. What
  a killed run left is removed first.

  Args:
    directory: a folder that does not exist or is empty.
    text: settings of the source, the filter and the packing.
    tokenizer: settings of the tokenizer to train or load.
    progress: called with a line of text every few seconds.

  Raises:
    UserError: the settings or the text are invalid, or the disk is full.
  """
  report = progress or (lambda line: None)
  with publish.whole_or_nothing(Path(directory)) as scratch:
    skipped: Counter[str] = Counter()
    tok = _tokenizer(text, tokenizer, report)
    tok.save(scratch / manifests.TOKENIZER)
    streams = {split: scratch / f'{split}.tokens' for split in manifests.SPLITS}
    tables, subsets = _encode(text, tok, streams, skipped, report)
    _require_contexts(text, tables, skipped)
    publish.require_space(scratch, _packed_bytes(text, tables))
    shards: dict[str, list[tuple[str, int]]] = {}
    for split, stream in streams.items():
      report(f'packing {split}: {tables[split].tokens:,} tokens')
      shards[split] = _pack(scratch, split, stream, text)
      stream.unlink()
    return manifests.finish(
      scratch, text, tok, tables, subsets, skipped, shards
    )


def _tokenizer(
  text: settings.Text, config: settings.Tokenizer, report: Progress
) -> Tokenizer:
  if config.path:
    return Tokenizer.load(config.path)
  report('reading a sample for the tokenizer')
  sample = _sample(text, config.sample_chars)
  report(f'training the tokenizer on {sum(map(len, sample)):,} characters')
  return Tokenizer.train(sample, config.vocab_size)


def _sample(text: settings.Text, chars: int) -> list[str]:
  """Returns the training documents with the lowest hashes, `chars` in all.

  Such a sample is spread over the whole corpus, does not depend on the order of
  files, and bounds the memory.
  """
  # A heap pops its smallest entry. Negated hashes make that the largest hash.
  kept: list[tuple[int, str]] = []
  total = 0
  for document in selection.documents(text, Counter()):
    digest = selection.text_hash(document.text)
    if selection.is_validation(digest, text.val_fraction):
      continue
    heapq.heappush(kept, (-selection.hash_word(digest, 2), document.text))
    total += len(document.text)
    while total - len(kept[0][1]) >= chars:
      total -= len(heapq.heappop(kept)[1])
  return [sample for _, sample in sorted(kept, reverse=True)]


def _batches(found: Iterator[Document]) -> Iterator[list[Document]]:
  batch: list[Document] = []
  chars = 0
  for document in found:
    batch.append(document)
    chars += len(document.text)
    if chars >= _BATCH_CHARS:
      yield batch
      batch, chars = [], 0
  if batch:
    yield batch


def _encode(
  text: settings.Text,
  tok: Tokenizer,
  streams: dict[str, Path],
  skipped: Counter[str],
  report: Progress,
) -> tuple[dict[str, TableBuilder], list[str]]:
  """Writes the token stream of each split.

  Returns:
    The documents of each split, and the names of subsets.
  """
  tables = {split: TableBuilder() for split in streams}
  subsets: dict[str, int] = {}
  separator = np.array([tok.separator], '<u2').tobytes()
  started = said = time.monotonic()
  with contextlib.ExitStack() as stack:
    files = {
      split: stack.enter_context(open(path, 'wb'))
      for split, path in streams.items()
    }
    for batch in _batches(selection.documents(text, skipped)):
      encoded = tok.encode_batch([document.text for document in batch])
      for document, ids_N in zip(batch, encoded, strict=True):
        digest = selection.text_hash(document.text)
        held_out = selection.is_validation(digest, text.val_fraction)
        split = 'val' if held_out else 'train'
        files[split].write(ids_N.astype('<u2').tobytes() + separator)
        tables[split].add(
          len(ids_N) + 1,
          subsets.setdefault(document.subset, len(subsets)),
          selection.hash_word(digest, 0),
          document.origin,
        )
      now = time.monotonic()
      if now - said >= _PROGRESS_SECONDS:
        said = now
        documents = sum(table.documents for table in tables.values())
        tokens = sum(table.tokens for table in tables.values())
        rate = tokens / (now - started)
        report(f'{documents:,} documents, {tokens:,} tokens, {rate:,.0f}/s')
  return tables, list(subsets)


def _require_contexts(
  text: settings.Text, tables: dict[str, TableBuilder], skipped: Counter[str]
) -> None:
  """Raises UserError if a split does not fill one record."""
  need = text.context * text.contexts_per_record
  for split, table in tables.items():
    if table.tokens < need:
      reasons = ', '.join(f'{n} {why}' for why, n in sorted(skipped.items()))
      raise UserError(
        f'The {split} split has {table.documents:,} documents with '
        f'{table.tokens:,} tokens; one record needs {need:,} (text.context='
        f'{text.context} x text.contexts_per_record='
        f'{text.contexts_per_record}). Left out: {reasons or "nothing"}. '
        'Lower one of these, change text.val_fraction, or add text.'
      )


def _packed_bytes(text: settings.Text, tables: dict[str, TableBuilder]) -> int:
  """Returns the approximate size of all record files in bytes."""
  contexts = sum(table.tokens for table in tables.values()) // text.context
  return records.record_bytes(contexts, text.context)


def _pack(
  scratch: Path, split: str, stream: Path, text: settings.Text
) -> list[tuple[str, int]]:
  """Writes the files of a split, and returns their names and record counts."""
  # Read-only: writing to mapped memory on a full disk would kill the process.
  tokens_N = np.memmap(stream, '<u2', 'r')
  M, T, K = (
    len(tokens_N) // text.context,
    text.context,
    text.contexts_per_record,
  )
  tokens_MT = tokens_N[: M * T].reshape(M, T)
  rng = np.random.default_rng([text.seed, manifests.SPLITS.index(split)])
  order_X = rng.permutation(M)[: M // K * K]
  per_shard = max(1, records.SHARD_BYTES // records.record_bytes(K, T)) * K
  shards = [
    order_X[i : i + per_shard] for i in range(0, len(order_X), per_shard)
  ]
  written = []
  for number, own_X in enumerate(shards):
    name = f'{split}-{number:05d}-of-{len(shards):05d}.array_record'
    packed = records.packed(tokens_MT, own_X, K)
    records.write_shard(scratch / name, packed)
    written.append((name, len(own_X) // K))
  return written
