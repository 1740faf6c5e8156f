"""Settings of the documents and their tokenization."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Text:
  """Where documents come from and how they become contexts.

  The policy is the same for every source. A separator token joins documents,
  and the joined tokens are cut every `context` tokens. A context may begin in
  the middle of a document. Nothing is prepended, so position 0 holds an
  ordinary token. `Transformer.attend_across_documents` sets whether attention
  crosses a separator.
  """

  # The module of `text.sources` that reads documents: installed, jsonl, text,
  # tfds, array_record or parquet.
  source: str = 'installed'
  # Globs (jsonl, array_record, parquet), folders (text) or dataset names
  # (tfds).
  paths: tuple[str, ...] = ()
  # Record field that holds the text; the default is The Pile's.
  text_field: str = 'text'
  # Record field (dotted) that names the subset; the default is The Pile's.
  subset_field: str = 'meta.pile_set_name'
  # Split of the dataset (tfds only).
  tfds_split: str = 'train'
  # Folder of prepared datasets (tfds only); empty: TFDS's default.
  tfds_dir: str = ''
  # Whether to download and prepare a missing dataset (tfds only).
  tfds_prepare: bool = False
  # Fraction of documents kept from each subset, chosen by a hash of the text;
  # '*' is the fraction for subsets not named.
  keep: Mapping[str, float] = dataclasses.field(default_factory=dict)
  # Documents with fewer characters are skipped.
  min_document_chars: int = 200
  # Documents with more characters are cut at the last line end before this.
  max_document_chars: int = 100_000
  # Fraction of documents held out for validation. A hash of the text decides,
  # so that duplicates fall on the same side.
  val_fraction: float = 0.05
  # Whether a corrupt line or a truncated file is an error. Otherwise it is
  # skipped and counted.
  strict: bool = False
  # T: tokens per context.
  context: int = 256
  # Contexts stored together, the unit of shuffled reading.
  contexts_per_record: int = 64
  # Seed of the order in which contexts are stored.
  seed: int = 0


@dataclasses.dataclass(frozen=True)
class Tokenizer:
  """A byte-level BPE, trained on a sample or taken from a file."""

  # Path of an existing tokenizer.json; empty: train one.
  path: str = ''
  # V: vocabulary size with the separator token, at most 65,536.
  vocab_size: int = 4096
  # Number of characters of training documents on which the BPE is trained.
  sample_chars: int = 20_000_000
