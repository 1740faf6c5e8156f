"""Stage `sae`: trains the dictionaries on activations, and evaluates them."""

from monosem_jax.config.names import entries, model_of
from monosem_jax.run import Run
from monosem_jax.run.artefact import Artefact, Changed, Input, Progress
from monosem_jax.run.stamp import identity
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import later, lm, tokens


def artefacts(run: Run) -> list[Artefact]:
  found = []
  for model, names in entries(run.config).items():
    if names:
      found += [
        stream_of(run, model),
        *(evaluation_of(run, name) for name in names),
      ]
  return found


def stream_of(run: Run, model: str) -> Artefact:
  """Returns the declaration of the dictionaries that share a stream."""
  w = run.workdir
  c, names = run.config.stream, entries(run.config)[model]
  settings = identity(c, 'stream')
  for name in names:
    settings |= identity(run.config.dictionaries[name], f'dictionaries.{name}')
  return Artefact(
    name=f'dictionaries/stream_{model}',
    stage='sae',
    folder=w.stream(model),
    whole={f'sae/{name}': w.training(name) for name in names},
    settings=settings,
    inputs=tokens.output(w) | lm.output(w, model),
    later=later('sae'),
    progress=progress(run, model),
  )


def progress(run: Run, model: str) -> Progress:
  """Returns the progress of the training of a model's dictionaries."""
  c = run.config.stream
  steps = c.contexts_per_chunk * c.positions_per_context // c.batch_size
  return Progress(run.workdir.stream(model) / 'checkpoints', steps, c.steps)


def evaluation_of(run: Run, name: str) -> Artefact:
  """Returns the declaration of a dictionary's evaluation."""
  w = run.workdir
  return Artefact(
    name=f'evaluation/{name}',
    stage='sae',
    folder=w.evaluation(name),
    whole={f'evaluation/{name}': w.evaluation(name) / 'numbers.json'},
    settings=identity(run.config.evaluation, 'evaluation'),
    inputs=lm.output(w, model_of(run.config, name)) | output(w, name),
    changed=Changed.ANEW,
  )


def output(w: Workdir, name: str) -> dict[str, Input]:
  """Returns a dictionary's weights as an input of other artefacts."""
  return {f'dictionaries/{name}': Input(w.dictionary_weights(name))}


def execute(run: Run) -> None:
  from monosem_jax.stages.sae import training

  training.train_all(run)
