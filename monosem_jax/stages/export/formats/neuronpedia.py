"""Files of Neuronpedia's bulk import, DIR/MODEL/...: `interop.neuronpedia`."""

import pathlib

from monosem_jax.config.names import SetId
from monosem_jax.interop import neuronpedia
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages.export import flags, folder
from monosem_jax.stages.export.formats import Format
from monosem_jax.stages.export.records import Records


def write(
  w: Workdir, directory: pathlib.Path, set_id: SetId, features: str
) -> None:
  """Writes the features; without ablations and neurons if there are none."""
  records = Records.load(w, set_id, strict=False)
  folder.write(
    w,
    directory,
    records,
    flags.features(features, records.features.count),
    lambda scratch, of_each, vocabulary: neuronpedia.write(
      scratch, records.source(w), of_each, vocabulary
    ),
  )


FORMAT = Format(write)
