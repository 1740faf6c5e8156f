"""What dictionaries preserve, by subset, and the frontier of a sweep.

The paper's loss recovered; `analysis.preserved`.
"""

import pathlib

import jax.numpy as jnp
import numpy as np

from monosem_jax import metrics
from monosem_jax.analysis import figures, preserved
from monosem_jax.features.moments import adding, collect
from monosem_jax.stages import programs
from monosem_jax.stages.analysis.bench import Bench
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.text import stream


def make(bench: Bench, out: pathlib.Path) -> dict:
  runs, c = {}, bench.w.config.evaluation
  labelled = Labelled(bench, 'val')
  step = preserved.make_step(bench.dot, len(labelled.subset_names))
  sums = adding(_sums)
  for model in bench.w.config.models:
    subjects = bench.subjects(model)
    if not subjects:
      continue
    lm = bench.lm(model)
    sum_A, count = collect(sums, lm, bench.batches(f'mean/{model}'))
    total = collect(
      step,
      (lm, jnp.asarray(sum_A / count, jnp.float32), _saes(subjects)),
      _held_out(bench, labelled, model, c.contexts, c.batch_size),
    )
    runs |= preserved.numbers(total, labelled.subset_names)
  _pictures(bench, runs, out)
  return {'runs': runs}


def _sums(lm, batch):
  """The sum of the activations, and how many there are."""
  acts_BTA = programs.forward(lm, batch[0])
  x_NA = acts_BTA.reshape(-1, acts_BTA.shape[-1]).astype(jnp.float32)
  return x_NA.sum(0), jnp.asarray(len(x_NA), jnp.int32)


def _saes(subjects) -> dict:
  return {s.run: s.sae for s in subjects}


def _held_out(bench: Bench, labelled: Labelled, model: str, contexts, B):
  """(tokens_BT, subset_BT) of held-out contexts, whole batches."""
  store = bench.store
  there = min(contexts, store.n_contexts('val'))
  B = min(B, there)
  n = there // B
  opened = stream.batches(store, 'val', B, seed=None, start=0, epochs=1)
  bar = metrics.progress(f'analysis/preserved/{model}', total=n * B, unit='ctx')
  for _, batch in zip(range(n), opened, strict=False):
    subset_BT = labelled.subset(batch.tokens_BT, batch.context_B)
    yield bench.put(batch.tokens_BT), bench.put(subset_BT)
    bar.update(B)
  opened.close()
  bar.close()


def _pictures(bench: Bench, runs: dict, out: pathlib.Path) -> None:
  # A model without knowledge has no loss to recover.
  shuffled = {m for m, c in bench.w.config.models.items() if c.shuffle_of}
  subjects = [s for s in bench.subjects() if s.model not in shuffled]
  dictionaries = [s.run for s in subjects if not s.is_control]
  tokens = runs[bench.main.run]['tokens']
  by_model: dict[str, list[str]] = {}
  for s in subjects:
    kind = 'controls' if s.is_control else 'dictionaries'
    by_model.setdefault(f'{s.model}: {kind}', []).append(s.run)
  figures.scatter(
    out / 'frontier.png',
    {
      name: tuple(
        np.array([runs[r][key] for r in own], float)
        for key in ('l0', 'loss_recovered')
      )
      for name, own in by_model.items()
    },
    f'Every dictionary and control of a trained model, on {tokens:,} held-out '
    'tokens.',
    'L0: mean number of active features of a token',
    'loss recovered (zero ablation: 0)',
    names=by_model,
    log_x=True,
  )
  subsets = runs[bench.main.run]['subsets']
  figures.bars(
    out / 'subsets.png',
    list(subsets),
    {
      run: np.array(
        [runs[run]['subsets'][s]['loss_recovered'] for s in subsets], float
      )
      for run in dictionaries
    },
    f'By subset of the corpus, {tokens:,} held-out tokens in all.',
    'subset',
    'loss recovered (zero ablation: 0)',
  )
