"""Evaluates the dictionaries of a model on held-out text."""

import jax

from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot, compute_dtype
from monosem_jax.dictionary import evaluate
from monosem_jax.interop import saelens
from monosem_jax.run import Run, graph, metrics
from monosem_jax.run.files import write_json
from monosem_jax.stages import sae
from monosem_jax.text import stream
from monosem_jax.text.store import TokenStore
from monosem_jax.transformer.model import Transformer
from monosem_jax.transformer.train import patched_loss


def measure(
  run: Run,
  store: TokenStore,
  model: str,
  lm: Transformer,
  names: list[str],
) -> None:
  """Evaluates the dictionaries that lack an evaluation, in one pass."""
  made = {n: sae.evaluation_of(run, n) for n in names}
  # The lines below log the numbers instead.
  quietly = lambda line: None
  wanted = [n for n in names if not graph.complete(made[n], quietly)]
  if not wanted:
    return
  for name, numbers in evaluated(run, store, model, lm, wanted).items():
    del numbers['fired_F']
    with graph.making(made[name]) as folder:
      write_json(folder / 'numbers.json', numbers)
    share, why = numbers['loss_recovered'], numbers['loss_recovered_reason']
    recovered = f'none ({why})' if share is None else f'{share:.1%}'
    run.log(
      f'sae/{name}: L0 {numbers["l0"]:.1f}, loss recovered '
      f'{recovered}, explained variance '
      f'{numbers["explained_variance"]:.1%}, {numbers["silent"]:,} silent on '
      f'{numbers["sample_tokens"]:,} held-out tokens'
    )


def evaluated(
  run: Run,
  store: TokenStore,
  model: str,
  lm: Transformer,
  names: list[str],
) -> dict[str, dict]:
  """Returns the numbers of `dictionary.evaluate`, in one pass."""
  c, mesh = run.config.evaluation, meshes.make_mesh(run.config.mesh)
  contexts = min(c.contexts, store.n_contexts('val'))
  bar = metrics.progress(f'evaluate/{model}', total=contexts, unit='ctx')
  batches = stream.batches(
    store, 'val', c.batch_size, seed=None, start=0, epochs=1
  )

  def until_enough():
    left = contexts
    for batch in batches:
      yield batch.tokens_BT[:left]
      bar.update(min(left, len(batch.tokens_BT)))
      left -= len(batch.tokens_BT)
      if left <= 0:
        return

  dot = Dot(compute_dtype(run.config.stream.precision))
  with jax.set_mesh(mesh):
    results = evaluate.evaluate(
      evaluate.make_sums(patched_loss, dot),
      meshes.place(mesh, lm),
      {
        n: meshes.place(mesh, saelens.load(run.workdir.dictionary(n)))
        for n in names
      },
      until_enough(),
    )
  batches.close()
  bar.close()
  return results
