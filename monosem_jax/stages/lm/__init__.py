"""Stage `lm`: trains the transformers of the config."""

from monosem_jax.run import Run
from monosem_jax.run.artefact import Artefact, Changed, Input, Progress
from monosem_jax.run.stamp import identity
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import later, tokens


def artefacts(run: Run) -> list[Artefact]:
  return [transformer(run, name) for name in run.config.models]


def transformer(run: Run, name: str) -> Artefact:
  """Returns the declaration of a transformer, trained or shuffled."""
  c, w = run.config.models[name], run.workdir
  return Artefact(
    name=f'models/{name}',
    stage='lm',
    folder=w.model(name),
    whole={f'lm/{name}': w.model_result(name)},
    settings=identity(c, f'models.{name}'),
    inputs=tokens.output(w) | (output(w, c.shuffle_of) if c.shuffle_of else {}),
    changed=Changed.INPUTS_ANEW if c.shuffle_of else Changed.REFUSED,
    later=later('lm'),
    progress=None if c.shuffle_of else progress(run, name),
  )


def progress(run: Run, name: str) -> Progress:
  """Returns the progress of a transformer's training."""
  c, folder = run.config.models[name], run.workdir.model(name)
  return Progress(folder / 'checkpoints', c.steps_per_chunk, c.steps)


def output(w: Workdir, name: str) -> dict[str, Input]:
  """Returns a transformer's weights as an input of other artefacts."""
  return {f'models/{name}': Input(w.weights(name))}


def execute(run: Run) -> None:
  from monosem_jax.stages.lm import training

  training.train_all(run)
