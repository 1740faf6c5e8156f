"""The controls: dictionaries that nothing was learned for, and their tables."""

import functools
import pathlib

import jax

from monosem_jax.analysis import controls
from monosem_jax.config import names
from monosem_jax.device import hosts
from monosem_jax.dictionary.sae import SAE
from monosem_jax.interop import saelens
from monosem_jax.run.stamp import Stamp
from monosem_jax.stages import features
from monosem_jax.stages.analysis.inputs import AnalysisInputs


def make(inputs: AnalysisInputs) -> None:
  """Makes what is missing; they lie where dictionaries do."""
  w = inputs.w
  own = names.model_of(w.config, names.main_dictionary(w.config))
  rows: dict = {}
  for name in names.controls(w.config):
    parsed = names.parse(name)
    model, kind = parsed.model, parsed.kind
    stamp = w.control_stamp(name, model)
    directory = w.dictionary(name)
    complete = functools.partial(_complete, stamp, directory)
    if not hosts.on_first_process(complete):
      if kind != 'neurons' and not rows:
        with jax.set_mesh(inputs.mesh):
          rows[own] = inputs.rows(own, w.config.analysis.control_rows)
      sae = _directions(inputs, kind, model, rows.get(own))
      save = functools.partial(_save, name, sae, stamp, directory)
      hosts.on_first_process(save)
    features.describe(w, inputs.store, model, inputs.lm(model), name)


def _complete(stamp: Stamp, directory: pathlib.Path) -> bool:
  return stamp.matches(directory) and (directory / saelens.WEIGHTS).exists()


def _save(name: str, sae: SAE, stamp: Stamp, directory: pathlib.Path) -> None:
  stamp.replace(directory)
  saelens.save(directory, sae, {'run': names.run_name(name)})


def _directions(inputs: AnalysisInputs, kind: str, model: str, x_NA) -> SAE:
  c, w = inputs.config, inputs.w
  if kind == 'neurons':
    return controls.neurons(names.width(w.config.models[model]))
  w.log(f'analysis: {kind} directions from {len(x_NA):,} activations')
  if kind == 'random':
    return controls.random(x_NA, inputs.main.table.density_F, c.seed)
  if kind == 'pca':
    return controls.pca(x_NA)
  return controls.ica(x_NA, c.seed, c.ica_passes)
