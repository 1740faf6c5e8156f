"""Data sets of texts of TensorFlow Datasets, read without TensorFlow."""

from collections.abc import Iterator
from typing import Any

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import Document, Skips, from_record
from monosem_jax.text.sources import Source

# Examples read at once.
_BATCH = 256


def read(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the examples of prepared data sets."""
  for name in text.paths:
    examples = _examples(name, text)
    for start in range(0, len(examples), _BATCH):
      span = range(start, min(start + _BATCH, len(examples)))
      for number, example in zip(
        span, examples.__getitems__(span), strict=True
      ):
        origin = f'{name}/{text.tfds_split}:{number}'
        document = from_record(example, origin, origin, text, skips)
        if document:
          yield document


def _examples(name: str, text: settings.Text) -> Any:
  """Returns the random-access examples of one data set's split."""
  import tensorflow_datasets

  where = f'in {text.tfds_dir!r}' if text.tfds_dir else 'in the default folder'
  try:
    # Only ArrayRecord can be read without TensorFlow.
    builder = tensorflow_datasets.builder(
      name, data_dir=text.tfds_dir or None, file_format='array_record'
    )
  except tensorflow_datasets.core.DatasetNotFoundError as e:
    raise UserError(
      f'text.paths: tfds knows no data set {name!r} and none is prepared '
      f'{where}. Check the name and text.tfds_dir.'
    ) from e
  except ValueError as e:
    raise UserError(
      f'text.paths: tfds cannot open {name!r} {where} as ArrayRecord: {e}'
    ) from e
  if not builder.is_prepared():
    if not text.tfds_prepare:
      raise UserError(
        f'text.paths: the data set {name!r} is not prepared {where}. Set '
        'text.tfds_prepare=True to have tfds download and prepare it, or '
        'text.tfds_dir to where it is.'
      )
    builder.download_and_prepare()
  try:
    return builder.as_data_source(split=text.tfds_split)
  except (ValueError, KeyError) as e:
    raise UserError(
      f'text.tfds_split: {text.tfds_split!r} of {name!r} cannot be read: {e} '
      f'(splits: {", ".join(sorted(builder.info.splits))})'
    ) from e
  except NotImplementedError as e:
    raise UserError(
      f'text.paths: {name!r} {where} is not stored as ArrayRecord, which '
      'reading without TensorFlow needs. Prepare it with file_format='
      "'array_record' in another text.tfds_dir."
    ) from e


def description(text: settings.Text, documents: int) -> dict[str, Any]:
  """The data sets and the split."""
  del documents
  return {'data_sets': list(text.paths), 'split': text.tfds_split}


SOURCE = Source(read, description, paths='a data set')
