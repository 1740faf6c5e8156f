"""The controls: dictionaries that nothing was learned for, and their tables."""

import jax

from monosem_jax.analysis import controls
from monosem_jax.config import names
from monosem_jax.dictionary.sae import SAE
from monosem_jax.interop import saelens
from monosem_jax.run import graph
from monosem_jax.stages.analysis import control
from monosem_jax.stages.analysis.bench import Bench
from monosem_jax.stages.features.describe import describe


def make(bench: Bench) -> None:
  """Makes what is missing; they lie where dictionaries do."""
  w = bench.w
  own = names.model_of(w.config, names.main_dictionary(w.config))
  rows: dict = {}
  for name in names.controls(w.config):
    model, _, kind = name.rpartition('_')
    made = control(w, name)
    # Its feature table says so, which comes next.
    if not graph.complete(made, lambda line: None):
      if kind != 'neurons' and not rows:
        with jax.set_mesh(bench.mesh):
          rows[own] = bench.rows(own, w.config.analysis.control_rows)
      sae = _directions(bench, kind, model, rows.get(own))
      with graph.making(made) as folder:
        saelens.save(folder, sae, {'run': names.run_name(name)})
    describe(w, bench.store, model, bench.lm(model), name)


def _directions(bench: Bench, kind: str, model: str, x_NA) -> SAE:
  c, w = bench.config, bench.w
  if kind == 'neurons':
    return controls.neurons(names.width(w.config.models[model]))
  w.log(f'analysis: {kind} directions from {len(x_NA):,} activations')
  if kind == 'random':
    return controls.random(x_NA, bench.main.table.density_F, c.seed)
  if kind == 'pca':
    return controls.pca(x_NA)
  return controls.ica(x_NA, c.seed, c.ica_passes)
