"""The page of some features in one file, FILE.html: `site.single`."""

import pathlib

from monosem_jax.config.errors import UserError
from monosem_jax.config.names import SetId
from monosem_jax.run import Run
from monosem_jax.site import single
from monosem_jax.stages import exhibits, featuresets
from monosem_jax.stages.export import flags
from monosem_jax.stages.export.formats import Format


def write(run: Run, path: pathlib.Path, set_id: SetId, features: str) -> None:
  """Writes the file.

  Raises:
    UserError: the feature table is missing, or there are too many features for
      one file.
  """
  found = featuresets.load_all(run)
  key, name = set_id.key, set_id.name
  if key not in found:
    raise UserError(
      f'--run: {name}: the page needs a dictionary or neurons with a feature '
      f'table, and {run.workdir.features(key)} has none.'
    )
  chosen = flags.features(features, found[key].count)
  if len(chosen) > single.MOST:
    raise UserError(
      f'--features: {len(chosen):,} features of {name}; one file holds '
      f'{single.MOST} at most. Name fewer, or share the folder '
      f'{run.workdir.site}.'
    )
  shown = exhibits.read(run, exhibits.folders(run), found, {key: chosen})
  try:
    single.write(
      path,
      build=shown.build,
      run=shown.run,
      exhibits=shown.exhibits,
      contexts=shown.contexts,
      vocabulary=shown.vocabulary,
      key=key,
      chosen=chosen,
    )
  except OSError as e:
    raise UserError(f'--to={path}: {e.strerror}.') from e
  size = path.stat().st_size / 1e6
  run.log(
    f'export: {len(chosen):,} features of {name} in {path}, {size:.1f} MB'
  )


FORMAT = Format(write, suffix='.html')
