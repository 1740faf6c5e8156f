"""Stage `site`: writes the page of all features: DIR/site/index.html."""

from monosem_jax.device import hosts
from monosem_jax.run import Run
from monosem_jax.run.artefact import Artefact
from monosem_jax.site import export, views
from monosem_jax.stages import exhibits, featuresets, report

# Analyses whose pictures stand beside the scorecard.
_PICTURES = ('density', 'preserved', 'logits', 'neurons', 'universality')


def artefacts(run: Run) -> list[Artefact]:
  """Returns the page. It has no stamp, since every run rewrites it."""
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
  """Writes the page, which takes seconds.

  Raises:
    UserError: no dictionary has a feature table yet, a table is not up to date,
      or labels.json is broken.
  """
  found = featuresets.load_all(run)
  # The report holds the scores of labels, which the page shows.
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
