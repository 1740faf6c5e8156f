"""The sets of features that a work directory holds, of what is there now."""

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
  """The sets of features that have a table and that pages show.

  Dictionaries come first, the main one before the others; then the neurons of
  models.

  Raises:
    UserError: no dictionary has one yet.
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
  """A feature table, if it is of the dictionary, the model and the text there.

  Raises:
    UserError: it is of others, or not there, or not whole.
  """
  directory = run.workdir.features(key)
  found = FeatureTable.load(directory)
  text = read_json(run.workdir.store / MANIFEST)['sha256']
  made = features.table(run, key, found.meta['model'])
  if not graph.made_from_now(made) or found.meta['manifest'] != text:
    raise UserError(
      f'{directory} is of another dictionary, transformer or text than is '
      'there now; run the stage again that made it.'
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
  """All that are there by key, in the order of `there`.

  Raises:
    UserError: see `there` and `table`.
  """
  return {own.key: load(run, own) for own in there(run)}
