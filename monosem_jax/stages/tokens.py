"""Stage `tokens`: documents to packed token ids, once."""

from monosem_jax.device import hosts
from monosem_jax.run.workdir import Workdir
from monosem_jax.text.store import write_store


def run(w: Workdir) -> None:
  hosts.on_first_process(lambda: _make(w))


def _make(w: Workdir) -> None:
  stamp = w.tokens_stamp()
  if (w.store / 'manifest.json').exists():
    stamp.admit(w.tokens, 'tokens', ['lm', 'sae', 'features', 'site'])
    w.log('tokens: complete')
    return
  w.log(f'tokens: reading the source {w.config.text.source!r}')
  stamp.write(w.tokens)
  manifest = write_store(w.store, w.config.text, w.config.tokenizer, w.log)
  for name, split in manifest['splits'].items():
    w.log(
      f'tokens: {name}: {split["tokens"]:,} tokens of {split["documents"]:,} '
      f'documents, {split["contexts"]:,} contexts'
    )
  w.log(f'tokens: manifest {manifest["sha256"][:16]}')
