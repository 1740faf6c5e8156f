"""Reads the sets of features of a work directory, if they are up to date."""

from typing import TYPE_CHECKING

import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.config.names import (
  SetId,
  controls,
  main_dictionary,
  parse,
)
from monosem_jax.features.featureset import FeatureSet, LoadedSet
from monosem_jax.features.table import META, FeatureTable
from monosem_jax.run import Run, graph
from monosem_jax.run.files import read_json, read_tensors
from monosem_jax.stages import features
from monosem_jax.text.manifest import MANIFEST

if TYPE_CHECKING:
  from monosem_jax.dictionary.sae import SAE


def there(run: Run) -> list[SetId]:
  """Returns the sets of features that have a table and that pages show.

  The main dictionary comes first, then other dictionaries, then neurons.

  Raises:
    UserError: no dictionary has a feature table yet.
  """
  c, main = run.config, main_dictionary(run.config)
  dictionaries = sorted(c.dictionaries, key=lambda name: name != main)
  names = [parse(key) for key in (*dictionaries, *controls(c))]
  names = [n for n in names if n.is_neurons or not n.is_control]
  found = [n for n in names if (run.workdir.features(n.key) / META).exists()]
  if all(n.is_control for n in found):
    raise UserError(
      f'no feature table in {run.workdir.root / "features"}; run the '
      'features stage first.'
    )
  for n in names:
    if n not in found and not n.is_control:
      run.log(f'{n.key} has no feature table and is left out')
  return found


def table(run: Run, key: str) -> FeatureTable:
  """Reads a feature table.

  Raises:
    UserError: the table is missing, broken, or of another dictionary, model or
      text than the work directory holds now.
  """
  directory = run.workdir.features(key)
  found = FeatureTable.load(directory)
  text = read_json(run.workdir.store / MANIFEST)['sha256']
  made = features.table(run, key, found.meta['model'])
  if not graph.made_from_now(made) or found.meta['manifest'] != text:
    raise UserError(
      f'{directory} is of another dictionary, transformer or text than the '
      'current one; run the stage again that made it.'
    )
  return found


def load(run: Run, set_id: SetId) -> FeatureSet:
  """Reads a set of features without its dictionary; see `table`."""
  found = table(run, set_id.key)
  rows_FA = read_tensors(run.workdir.dictionary_weights(set_id.key))['W_dec']
  return FeatureSet(set_id, found, rows_FA)


def load_with(run: Run, set_id: SetId, sae: 'SAE') -> LoadedSet:
  """Reads a set of features whose dictionary is loaded; see `table`."""
  found = table(run, set_id.key)
  return LoadedSet(set_id, found, np.asarray(sae.W_dec_FA), sae)


def load_all(run: Run) -> dict[str, FeatureSet]:
  """Reads all sets that `there` returns, by key, in its order.

  Raises:
    UserError: see `there` and `table`.
  """
  return {own.key: load(run, own) for own in there(run)}
