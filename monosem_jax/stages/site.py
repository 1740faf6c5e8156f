"""Stage `site`: the page that shows every feature."""

import pathlib

from monosem_jax import hosts, report
from monosem_jax.site import export, views
from monosem_jax.stages import exhibits
from monosem_jax.workdir import Workdir

# Of the analyses' pictures, those that belong beside the scorecard.
_PICTURES = ('density', 'preserved', 'logits', 'neurons', 'universality')


def run(w: Workdir) -> None:
  hosts.by_first(lambda: _write(w))


def _write(w: Workdir) -> None:
  """Writes the page anew: it takes seconds.

  Raises:
    UserError: no dictionary has a feature table yet; labels.json is broken.
  """
  tables = exhibits.tables(w)
  # Scores of labels stand in it.
  report.write(w)
  shown = exhibits.read(w, tables)
  analysis = w.analysis('')
  export.write(
    w.site,
    build=shown.build,
    run=shown.run,
    exhibits=shown.exhibits,
    contexts=shown.contexts,
    vocabulary=shown.vocabulary,
    views=_views(analysis, list(tables)),
    pictures={
      f'{path.parent.name}_{path.name}': path
      for name in _PICTURES
      for path in sorted(w.analysis(name).glob('*.png'))
    },
    c=w.config.site,
  )
  w.log(f'site: open {w.site / "index.html"}')


def _views(analysis: pathlib.Path, keys: list[str]) -> export.Packs:
  """The packs of the other views, as far as their analyses are made."""
  found = {
    'texts': views.texts(analysis),
    'splitting': views.splitting(analysis, keys),
    'universality': views.universality(analysis, keys),
    'automata': views.automata(analysis),
  }
  found |= {f'{k}/texts': views.texts_of(analysis, k) for k in keys}
  found |= {
    f'map/{name}': pack for name, pack in views.layouts(analysis, keys).items()
  }
  return {name: pack for name, pack in found.items() if pack is not None}
