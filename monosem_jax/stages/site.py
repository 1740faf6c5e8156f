"""Stage `site`: the page that shows every feature."""

from monosem_jax import hosts
from monosem_jax.errors import UserError
from monosem_jax.features.table import META, FeatureTable
from monosem_jax.files import read_json
from monosem_jax.site import export
from monosem_jax.text.manifest import TOKENIZER
from monosem_jax.text.tokenizer import Tokenizer
from monosem_jax.workdir import Workdir


def run(w: Workdir) -> None:
  hosts.by_first(lambda: _write(w))


def _write(w: Workdir) -> None:
  """Writes the page anew: it takes seconds.

  Raises:
    UserError: no dictionary has a feature table yet.
  """
  tables = {}
  for name in w.config.dictionaries:
    if (w.features(name) / META).exists():
      tables[name] = FeatureTable.load(w.features(name))
    else:
      w.log(f'site: {name} has no feature table and is left out')
  if not tables:
    raise UserError(
      f'site: no feature table in {w.root / "features"}; run the features '
      'stage first.'
    )
  export.write(
    w.site,
    tables=tables,
    vocabulary=Tokenizer.load(w.store / TOKENIZER).token_strings(),
    report=read_json(w.root / 'report.json'),
  )
  w.log(f'site: open {w.site / "index.html"}')
