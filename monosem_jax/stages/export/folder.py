"""Writes features one by one into a new folder."""

import pathlib
from collections.abc import Callable, Iterator

from monosem_jax.config.errors import UserError
from monosem_jax.interop.feature import Feature
from monosem_jax.run import Run, metrics
from monosem_jax.run.files import in_place_of
from monosem_jax.stages.export.records import Records
from monosem_jax.text.manifest import TOKENIZER
from monosem_jax.text.tokenizer import Tokenizer


def write(
  run: Run,
  directory: pathlib.Path,
  records: Records,
  chosen: list[int],
  put: Callable[[pathlib.Path, Iterator[Feature], list[str]], None],
) -> None:
  """Writes a whole folder, or nothing, with a progress line.

  Args:
    run: the run of the program.
    directory: the folder.
    records: all features.
    chosen: the numbers of the features to write.
    put: `put(scratch, features, vocabulary)` writes them.

  Raises:
    UserError: a number is not finite, or the folder cannot be written.
  """
  vocabulary = Tokenizer.load(run.workdir.store / TOKENIZER).token_strings()
  try:
    with in_place_of(directory, 'export again') as scratch:
      put(scratch, _each(records, chosen), vocabulary)
  except ValueError as e:
    raise UserError(f'export: {records.features.name}: {e}.') from e
  except OSError as e:
    raise UserError(f'--to={directory}: {e.strerror}.') from e
  run.log(
    f'export: {len(chosen):,} features of {records.features.name} in '
    f'{directory}'
  )


def _each(records: Records, chosen: list[int]) -> Iterator[Feature]:
  bar = metrics.progress(
    f'export/{records.features.key}', total=len(chosen), unit='feature'
  )
  try:
    for i in chosen:
      yield records.feature(i)
      bar.update(1)
  finally:
    bar.close()
