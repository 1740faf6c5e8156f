"""Stage `tokens`: documents to a tokenizer and packed token ids, once."""

from monosem_jax.device import hosts
from monosem_jax.run import Run, graph
from monosem_jax.run.artefact import Artefact, Input
from monosem_jax.run.stamp import identity
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import later
from monosem_jax.text.manifest import MANIFEST


def artefacts(run: Run) -> list[Artefact]:
  return [store(run)]


def store(run: Run) -> Artefact:
  """Returns the token store's declaration."""
  c = run.config
  return Artefact(
    name='tokens',
    stage='tokens',
    folder=run.workdir.tokens,
    whole={'tokens': run.workdir.store / MANIFEST},
    settings=identity(c.text, 'text') | identity(c.tokenizer, 'tokenizer'),
    later=later('tokens'),
  )


def output(w: Workdir) -> dict[str, Input]:
  """Returns the token store as an input of other artefacts."""
  return {'tokens': Input(w.store / MANIFEST, 'sha256')}


def execute(run: Run) -> None:
  made = store(run)
  if graph.complete(made, run.log):
    return
  graph.begin(made)
  hosts.on_first_process(lambda: _write(run))


def _write(run: Run) -> None:
  from monosem_jax.text.store import write_store

  run.log(f'tokens: reading the source {run.config.text.source!r}')
  manifest = write_store(
    run.workdir.store, run.config.text, run.config.tokenizer, run.log
  )
  for name, split in manifest['splits'].items():
    run.log(
      f'tokens: {name}: {split["tokens"]:,} tokens of {split["documents"]:,} '
      f'documents, {split["contexts"]:,} contexts'
    )
  run.log(f'tokens: manifest {manifest["sha256"][:16]}')
