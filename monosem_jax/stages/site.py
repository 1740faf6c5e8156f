"""Stage `site`: writes the page of all features: DIR/site/index.html."""

from monosem_jax.device import hosts
from monosem_jax.run import Run
from monosem_jax.run.artefact import Artefact
from monosem_jax.site import export, views
from monosem_jax.stages import exhibits, featuresets, report

# Of the analyses' pictures, those that belong beside the scorecard.
_PICTURES = ('density', 'preserved', 'logits', 'neurons', 'universality')


def artefacts(run: Run) -> list[Artefact]:
  """The page, which is written anew each time and so has no stamp."""
  return [
    Artefact(
      name='site',
      stage='site',
      folder=run.workdir.site,
      whole={'site': run.workdir.site / 'index.html'},
    )
  ]


def execute(run: Run) -> None:
  hosts.on_first_process(lambda: _write(run))


def _write(run: Run) -> None:
  """Writes the page anew: it takes seconds.

  Raises:
    UserError: no dictionary has a feature table yet, or one is of another
      dictionary than is there now; labels.json is broken.
  """
  found = featuresets.load_all(run)
  # Scores of labels stand in it.
  report.write(run)
  folder = exhibits.folders(run)
  shown = exhibits.read(run, folder, found)
  export.write(
    run.workdir.site,
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
  run.log(f'site: open {run.workdir.site / "index.html"}')
