"""Settings of the text: documents, and how they become tokens."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Text:
  """Where documents come from and how they become contexts.

  Policy, the same for every source: documents are joined by a separator token
  and the joined tokens are cut every `context` tokens. A context may begin in
  the middle of a document; nothing is prepended, so position 0 holds an
  ordinary token. `Transformer.attend_across_documents` says whether attention
  crosses a separator.
  """

  # A module of `text.sources`: installed, jsonl, text, tfds, array_record,
  # parquet.
  source: str = 'installed'
  # jsonl, array_record, parquet: globs; text: folders; tfds: data set names.
  paths: tuple[str, ...] = ()
  # The field that holds a record's text, and the (dotted) one that names its
  # subset; The Pile's names by default.
  text_field: str = 'text'
  subset_field: str = 'meta.pile_set_name'
  # tfds only: the split read, where it lives, and whether to prepare it.
  tfds_split: str = 'train'
  tfds_dir: str = ''
  tfds_prepare: bool = False
  # Fraction of the documents kept per subset, by a hash of the text; '*' is
  # the fraction for subsets not named.
  keep: Mapping[str, float] = dataclasses.field(default_factory=dict)
  # Shorter documents are skipped; longer ones are cut at the last line end.
  min_document_chars: int = 200
  max_document_chars: int = 100_000
  # Fraction of documents held out for validation, by a hash of the text, so
  # that a duplicate never stands on both sides.
  val_fraction: float = 0.05
  # A corrupt line or a truncated file is an error instead of a counted skip.
  strict: bool = False
  # T: tokens of a context.
  context: int = 256
  # Contexts stored together, the unit of shuffled reading.
  contexts_per_record: int = 64
  # Order in which contexts are stored.
  seed: int = 0


@dataclasses.dataclass(frozen=True)
class Tokenizer:
  """A byte-level BPE, trained on a sample or taken from a file."""

  # An existing tokenizer.json; empty: train one.
  path: str = ''
  # V, the separator token included; at most 65,536.
  vocab_size: int = 4096
  # Characters of training documents the BPE is trained on.
  sample_chars: int = 20_000_000
