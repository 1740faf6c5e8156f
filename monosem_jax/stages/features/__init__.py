"""Stage `features`: finds where every feature fires and what it predicts."""

from monosem_jax.config.names import entries
from monosem_jax.features.table import META
from monosem_jax.run import Run
from monosem_jax.run.artefact import Artefact, Changed, Input
from monosem_jax.run.stamp import NAME as STAMP, identity
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import later, lm, sae


def artefacts(run: Run) -> list[Artefact]:
  return [
    table(run, name, model)
    for model, names in entries(run.config).items()
    for name in names
  ]


def table(run: Run, name: str, model: str) -> Artefact:
  """Returns the declaration of a dictionary's or control's feature table."""
  w = run.workdir
  return Artefact(
    name=f'features/{name}',
    stage='features',
    folder=w.features(name),
    whole={f'features/{name}': w.features(name) / META},
    settings=identity(run.config.features, 'features'),
    inputs=lm.output(w, model) | sae.output(w, name),
    changed=Changed.INPUTS_ANEW,
    later=later('features'),
  )


def output(w: Workdir, name: str) -> dict[str, Input]:
  """Returns a feature table as an input of other artefacts."""
  return {f'features/{name}': Input(w.features(name) / STAMP)}


def execute(run: Run) -> None:
  from monosem_jax.stages.features import describe

  describe.describe_all(run)
