"""Stage `site`: writes the page of all features: DIR/site/index.html."""

from monosem_jax.device import hosts
from monosem_jax.run.artefact import Artefact
from monosem_jax.run.workdir import Workdir
from monosem_jax.site import export, views
from monosem_jax.stages import exhibits, featuresets, report

# Of the analyses' pictures, those that belong beside the scorecard.
_PICTURES = ('density', 'preserved', 'logits', 'neurons', 'universality')


def artefacts(w: Workdir) -> list[Artefact]:
  """The page, which is written anew each time and so has no stamp."""
  return [
    Artefact(
      name='site',
      stage='site',
      folder=w.site,
      whole={'site': w.site / 'index.html'},
    )
  ]


def run(w: Workdir) -> None:
  hosts.on_first_process(lambda: _write(w))


def _write(w: Workdir) -> None:
  """Writes the page anew: it takes seconds.

  Raises:
    UserError: no dictionary has a feature table yet, or one is of another
      dictionary than is there now; labels.json is broken.
  """
  found = featuresets.load_all(w)
  # Scores of labels stand in it.
  report.write(w)
  folder = exhibits.folders(w)
  shown = exhibits.read(w, folder, found)
  export.write(
    w.site,
    build=shown.build,
    run=shown.run,
    exhibits=shown.exhibits,
    contexts=shown.contexts,
    vocabulary=shown.vocabulary,
    views=views.packs(folder, list(found)),
    pictures={
      f'{path.parent.name}_{path.name}': path
      for name in _PICTURES
      for path in sorted(folder(name).glob('*.png'))
    },
  )
  w.log(f'site: open {w.site / "index.html"}')
