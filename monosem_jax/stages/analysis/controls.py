"""Makes the controls, which are untrained dictionaries, and their tables."""

import jax

from monosem_jax.analysis import controls
from monosem_jax.config import names
from monosem_jax.dictionary.sae import SAE
from monosem_jax.interop import saelens
from monosem_jax.run import graph
from monosem_jax.stages.analysis import control
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.stages.features.describe import describe


def make(inputs: AnalysisInputs) -> None:
  """Makes the missing controls in the folder of the dictionaries."""
  run = inputs.run
  own = names.model_of(run.config, names.main_dictionary(run.config))
  rows: dict = {}
  for name in names.controls(run.config):
    parsed, made = names.parse(name), control(run, name)
    model, kind = parsed.model, parsed.kind
    # The feature table, made next, logs that it is complete.
    if not graph.complete(made, lambda line: None):
      if kind != 'neurons' and not rows:
        with jax.set_mesh(inputs.mesh):
          rows[own] = inputs.rows(own, run.config.analysis.control_rows)
      sae = _directions(inputs, kind, model, rows.get(own))
      with graph.making(made) as folder:
        saelens.save(folder, sae, {'run': names.name_of(name)})
    describe(run, inputs.store, model, inputs.lm(model), name)


def _directions(inputs: AnalysisInputs, kind: str, model: str, x_NA) -> SAE:
  c, run = inputs.config, inputs.run
  if kind == 'neurons':
    return controls.neurons(names.width(run.config.models[model]))
  run.log(f'analysis: {kind} directions from {len(x_NA):,} activations')
  if kind == 'random':
    return controls.random(x_NA, inputs.main.table.density_F, c.seed)
  if kind == 'pca':
    return controls.pca(x_NA)
  return controls.ica(x_NA, c.seed, c.ica_passes)
