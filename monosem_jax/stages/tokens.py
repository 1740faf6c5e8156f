"""Stage `tokens`: documents to a tokenizer and packed token ids, once."""

from monosem_jax.device import hosts
from monosem_jax.run import graph
from monosem_jax.run.artefact import Artefact, Input
from monosem_jax.run.stamp import identity
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import later
from monosem_jax.text.manifest import MANIFEST


def artefacts(w: Workdir) -> list[Artefact]:
  return [store(w)]


def store(w: Workdir) -> Artefact:
  """The token store."""
  c = w.config
  return Artefact(
    name='tokens',
    stage='tokens',
    folder=w.tokens,
    whole={'tokens': w.store / MANIFEST},
    settings=identity(c.text, 'text') | identity(c.tokenizer, 'tokenizer'),
    later=later('tokens'),
  )


def output(w: Workdir) -> dict[str, Input]:
  """The token store, for what is made from it."""
  return {'tokens': Input(w.store / MANIFEST, 'sha256')}


def run(w: Workdir) -> None:
  made = store(w)
  if graph.complete(made, w.log):
    return
  graph.begin(made)
  hosts.on_first_process(lambda: _write(w))


def _write(w: Workdir) -> None:
  from monosem_jax.text.store import write_store

  w.log(f'tokens: reading the source {w.config.text.source!r}')
  manifest = write_store(w.store, w.config.text, w.config.tokenizer, w.log)
  for name, split in manifest['splits'].items():
    w.log(
      f'tokens: {name}: {split["tokens"]:,} tokens of {split["documents"]:,} '
      f'documents, {split["contexts"]:,} contexts'
    )
  w.log(f'tokens: manifest {manifest["sha256"][:16]}')
