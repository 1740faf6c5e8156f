"""The sources that need a library of their own: Parquet and tfds."""

from collections.abc import Iterator
from typing import Any

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import (
  Document,
  Skips,
  checked_text,
  from_record,
  subset_name,
)
from monosem_jax.text.files import matched, require_paths

# Rows read at once.
_BATCH = 256


def parquet(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the rows of Parquet files, of which two columns are read."""
  try:
    import pyarrow as pa
    from pyarrow import parquet as pq
  except ImportError as e:
    raise UserError(
      "text.source='parquet' needs pyarrow: pip install monosem_jax[parquet]"
    ) from e

  for file in matched(text.paths, 'parquet'):
    number = 0
    try:
      with pq.ParquetFile(file.path) as table:
        schema = table.schema
        leaves = [schema.column(i).path for i in range(len(schema))]
        if text.text_field not in leaves:
          raise UserError(
            f'{file.path} has no column {text.text_field!r}. Set '
            f'text.text_field to one of: {", ".join(leaves)}.'
          )
        wanted = [text.text_field]
        if text.subset_field in leaves:
          wanted.append(text.subset_field)
        for batch in table.iter_batches(_BATCH, columns=wanted):
          values = [_leaf(batch, name) for name in wanted]
          for value, *subset in zip(*values, strict=True):
            where = f'{file.path}, row {number}'
            checked = checked_text(value, where, skips)
            if checked is not None:
              name = subset_name(subset[0] if subset else None)
              yield Document(checked, name, f'{file.name}:{number}')
            number += 1
    except (pa.ArrowException, OSError):
      skips.bad('corrupt file', f'{file.path}, after row {number}')


def _leaf(batch: Any, dotted: str) -> list[Any]:
  """Returns a column of a batch as Python values, strings as bytes."""
  import pyarrow as pa
  from pyarrow import compute

  first, *rest = dotted.split('.')
  column = batch.column(first)
  for name in rest:
    column = compute.struct_field(column, name)
  if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
    # One undecodable value would make the whole batch fail.
    column = column.cast(pa.large_binary())
  return column.to_pylist()


def tfds(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields the examples of prepared data sets, read without TensorFlow."""
  require_paths(text.paths, 'tfds', 'a data set')
  for name in text.paths:
    examples = _tfds_examples(name, text)
    for start in range(0, len(examples), _BATCH):
      span = range(start, min(start + _BATCH, len(examples)))
      for number, example in zip(
        span, examples.__getitems__(span), strict=True
      ):
        origin = f'{name}/{text.tfds_split}:{number}'
        document = from_record(example, origin, origin, text, skips)
        if document:
          yield document


def _tfds_examples(name: str, text: settings.Text) -> Any:
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
