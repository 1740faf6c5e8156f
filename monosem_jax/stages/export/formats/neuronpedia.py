"""Files of Neuronpedia's bulk import, DIR/MODEL/...: `interop.neuronpedia`."""

import pathlib

from monosem_jax.config.names import SetId
from monosem_jax.interop import neuronpedia
from monosem_jax.run import Run
from monosem_jax.stages.export import flags, folder
from monosem_jax.stages.export.formats import Format
from monosem_jax.stages.export.records import Records


def write(
  run: Run, directory: pathlib.Path, set_id: SetId, features: str
) -> None:
  """Writes the features; without ablations and neurons if there are none."""
  records = Records.load(run, set_id, strict=False)
  folder.write(
    run,
    directory,
    records,
    flags.features(features, records.features.count),
    lambda scratch, of_each, vocabulary: neuronpedia.write(
      scratch, records.source(run), of_each, vocabulary
    ),
  )


FORMAT = Format(write)
