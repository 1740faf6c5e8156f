"""Source: text datasets of TensorFlow Datasets, read without TensorFlow."""

from collections.abc import Iterator
from typing import Any

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import Document, Skips, from_record
from monosem_jax.text.sources import Source

# Number of examples read at a time.
_BATCH = 256


def read(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the examples of prepared datasets."""
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
  """Returns the examples of a dataset's split, with random access."""
  import tensorflow_datasets

  where = f'in {text.tfds_dir!r}' if text.tfds_dir else 'in the default folder'
  try:
    # Only ArrayRecord can be read without TensorFlow.
    builder = tensorflow_datasets.builder(
      name, data_dir=text.tfds_dir or None, file_format='array_record'
    )
  except tensorflow_datasets.core.DatasetNotFoundError as e:
    raise UserError(
      f'text.paths: TFDS does not know the dataset {name!r}, and it is not '
      f'prepared {where}. Check the name and text.tfds_dir.'
    ) from e
  except ValueError as e:
    raise UserError(
      f'text.paths: TFDS cannot open {name!r} {where} as ArrayRecord: {e}'
    ) from e
  if not builder.is_prepared():
    if not text.tfds_prepare:
      raise UserError(
        f'text.paths: the dataset {name!r} is not prepared {where}. Set '
        'text.tfds_prepare=True to download and prepare it, or set '
        'text.tfds_dir to the folder that contains it.'
      )
    builder.download_and_prepare()
  try:
    return builder.as_data_source(split=text.tfds_split)
  except (ValueError, KeyError) as e:
    raise UserError(
      f'text.tfds_split: {name!r} has no readable split {text.tfds_split!r}: '
      f'{e} (splits: {", ".join(sorted(builder.info.splits))})'
    ) from e
  except NotImplementedError as e:
    raise UserError(
      f'text.paths: {name!r} {where} is not stored as ArrayRecord, the only '
      'format that can be read without TensorFlow. Prepare it with file_format='
      "'array_record' in another text.tfds_dir."
    ) from e


def description(text: settings.Text, documents: int) -> dict[str, Any]:
  """The datasets and the split."""
  del documents
  return {'data_sets': list(text.paths), 'split': text.tfds_split}


SOURCE = Source(read, description, paths='a dataset')
