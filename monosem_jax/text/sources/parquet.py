"""Source: Parquet files with a column of texts, and optionally of subsets."""

from collections.abc import Iterator
from typing import Any

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.text.document import (
  Document,
  Skips,
  checked_text,
  subset_name,
)
from monosem_jax.text.files import matched, names
from monosem_jax.text.sources import Source

# Number of rows read at a time.
_BATCH = 256


def read(text: settings.Text, skips: Skips) -> Iterator[Document]:
  """Yields one document per row."""
  try:
    import pyarrow as pa
    from pyarrow import parquet as pq
  except ImportError as e:
    raise UserError(
      "text.source='parquet' needs pyarrow: pip install monosem_jax[parquet]"
    ) from e

  for file in matched(text.paths):
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
    # As strings, one undecodable value would make the whole batch fail.
    column = column.cast(pa.large_binary())
  return column.to_pylist()


SOURCE = Source(read, names, paths='a glob')
