"""The JSON published beside the paper, DIR/a1/3.json: `interop.anthropic`."""

import pathlib

from monosem_jax.config.errors import UserError
from monosem_jax.config.names import SetId
from monosem_jax.interop import anthropic
from monosem_jax.run import Run
from monosem_jax.stages.export import flags, folder
from monosem_jax.stages.export.formats import Format
from monosem_jax.stages.export.records import Records


def write(
  run: Run, directory: pathlib.Path, set_id: SetId, features: str
) -> None:
  """Writes a file for each feature that ever fired.

  Raises:
    UserError: the ablations are missing, or none of the features fired.
  """
  if set_id.is_control and not set_id.is_neurons:
    raise UserError(
      f'--run: {set_id.name}: this format shows ablations, which only '
      'dictionaries and neurons have; --format=neuronpedia needs none.'
    )
  records = Records.load(run, set_id, strict=True)
  found = records.features
  chosen = flags.features(features, found.count)
  # As published: a feature that never fired has nothing to show.
  fired = [i for i in chosen if found.table.fired_F[i] > 0]
  if not fired:
    raise UserError(
      f'export: none of these features of {set_id.key} ever fired.'
    )
  if len(fired) < len(chosen):
    run.log(f'export: {len(chosen) - len(fired):,} never fired: left out')
  own = found.name.replace('/', '').lower()
  folder.write(
    run,
    directory,
    records,
    fired,
    lambda scratch, of_each, vocabulary: anthropic.write(
      scratch / own, of_each, vocabulary
    ),
  )


FORMAT = Format(write)
