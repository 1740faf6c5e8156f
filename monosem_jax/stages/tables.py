"""The feature tables that pages and files show, of what is there now."""

from monosem_jax.config.errors import UserError
from monosem_jax.config.names import controls, main_dictionary, model_of
from monosem_jax.features.table import META, FeatureTable
from monosem_jax.run import graph
from monosem_jax.run.files import read_json
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import features
from monosem_jax.text.manifest import MANIFEST


def there(w: Workdir) -> dict[str, str]:
  """The sets of features that have a table, and their models.

  Dictionaries come first, the main one before the others; then the neurons of
  models.

  Raises:
    UserError: no dictionary has one yet.
  """
  c, main = w.config, main_dictionary(w.config)
  dictionaries = sorted(c.dictionaries, key=lambda name: name != main)
  found = {name: model_of(c, name) for name in dictionaries}
  found |= {
    name: name.removesuffix('_neurons')
    for name in controls(c)
    if name.endswith('_neurons')
  }
  found = {n: m for n, m in found.items() if (w.features(n) / META).exists()}
  missing = [name for name in dictionaries if name not in found]
  if missing == dictionaries:
    raise UserError(
      f'no feature table in {w.root / "features"}; run the features stage '
      'first.'
    )
  for name in missing:
    w.log(f'{name} has no feature table and is left out')
  return found


def load(w: Workdir, name: str) -> FeatureTable:
  """A feature table, if it is of the dictionary, the model and the text there.

  Raises:
    UserError: it is of others, or not there, or not whole.
  """
  directory = w.features(name)
  table = FeatureTable.load(directory)
  text = read_json(w.store / MANIFEST)['sha256']
  made = features.table(w, name, table.meta['model'])
  if not graph.made_from_now(made) or table.meta['manifest'] != text:
    raise UserError(
      f'{directory} is of another dictionary, transformer or text than is '
      'there now; run the stage again that made it.'
    )
  return table


def load_all(w: Workdir) -> dict[str, FeatureTable]:
  """All that are there, in the order of `there`.

  Raises:
    UserError: see `there` and `load`.
  """
  return {name: load(w, name) for name in there(w)}
