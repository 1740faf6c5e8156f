"""What dictionaries preserve, by subset, and the frontier of a sweep.

The paper's loss recovered (`analysis.preserved`), beside what other ways of
writing an activation preserve with as many numbers a token as the main
dictionary has active features (`analysis.baselines`). Those stand under the
names of the controls, `A/neurons`, though what the other analyses call so is
the same directions as features. `A/neurons` are the k largest neurons; those
farthest from their means stand beside the runs, under `about_means`.
"""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import baselines, figures, intervals, preserved
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary.sae import SAE, rows_of
from monosem_jax.features.featureset import FeatureSet
from monosem_jax.features.moments import adding, collect
from monosem_jax.run import metrics
from monosem_jax.run.files import read_json
from monosem_jax.stages import programs
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.documents import GROUPS
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.sections import effects
from monosem_jax.text import stream

# The neurons about their means, among the runs of their model.
_FAR = 'about means'


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """What is measured under a run's name.

  Attributes:
    dictionary: on the mesh; None where it cannot be had.
    said: the keys of its numbers that say what it is, or why it is not there.
  """

  dictionary: SAE | baselines.SparseBasis | None
  said: dict


def make(inputs: AnalysisInputs, out: pathlib.Path) -> dict:
  runs, about_means = {}, {}
  c, main = inputs.w.config.evaluation, inputs.main
  labelled = Labelled(inputs, 'val')
  step = preserved.make_step(
    baselines.reconstruct, inputs.dot, len(labelled.subset_names), GROUPS
  )
  sums = adding(_sums)
  for model in inputs.w.config.models:
    sets = inputs.feature_sets(model)
    if not sets:
      continue
    lm = inputs.lm(model)
    sum_A, count = collect(sums, lm, inputs.batches(f'mean/{model}'))
    mean_A = np.asarray(sum_A / count, np.float32)
    own = {s.run: _run(inputs, s) for s in sets}
    neurons = f'{model}/neurons'
    if neurons in own:
      own[_FAR] = _neurons(inputs, mean_A, 'farthest from their means')
    there = {
      run: r.dictionary for run, r in own.items() if r.dictionary is not None
    }
    total = collect(
      step,
      (lm, jnp.asarray(mean_A), there),
      _held_out(inputs, labelled, model, c.contexts, c.batch_size),
    )
    found = preserved.numbers(
      total, labelled.subset_names, intervals.over_groups
    )
    runs |= {run: r.said | found.get(run, {}) for run, r in own.items()}
    if model == main.model:
      beside = preserved.margins(total, main.run, intervals.over_groups)
      for run, more in beside.items():
        runs[run] |= more
    if _FAR in runs:
      about_means[neurons] = runs.pop(_FAR)
  _pictures(inputs, runs, out)
  return {
    'runs': runs,
    'about_means': about_means,
    'matched': {'to': main.run, 'l0': _l0(inputs), 'k': _k(inputs)},
    'interval': '95%, over groups of documents, by their hash',
  }


def _l0(inputs: AnalysisInputs) -> float:
  """The main dictionary's L0 on held-out text."""
  folder = inputs.w.evaluation(inputs.main.key)
  return read_json(folder / 'numbers.json')['l0']


def _k(inputs: AnalysisInputs) -> int:
  """As many numbers a token as the main dictionary has active features."""
  return max(1, round(_l0(inputs)))


def _neurons(inputs: AnalysisInputs, offset_A: np.ndarray, which: str) -> Run:
  """Those that deviate most from `offset_A`, in words `which`."""
  k = min(_k(inputs), offset_A.size)
  basis = meshes.place(inputs.mesh, baselines.neurons(offset_A, k))
  return Run(basis, {'what': f'{k} neurons a token, the {which}', 'k': k})


def _run(inputs: AnalysisInputs, s: FeatureSet) -> Run:
  if not s.is_control:
    return Run(s.sae, {'what': f'dictionary of {len(s.rows_FA):,} features'})
  kind = s.name.kind
  if kind == 'random':
    return _random(inputs, s)
  if kind == 'neurons':
    return _neurons(inputs, np.zeros(s.rows_FA.shape[1]), 'largest')
  F = len(s.rows_FA)
  k = min(_k(inputs), F)
  said = {'k': k, 'components': F}
  if kind == 'pca':
    said['what'] = f'{k} signed principal components a token'
  else:
    said['passes'] = inputs.config.ica_passes
    said['what'] = (
      f'{k} signed independent components a token, of {F:,} by '
      f'{said["passes"]} passes of FastICA'
    )
  return Run(baselines.components(s.sae, k), said)


def _random(inputs: AnalysisInputs, s: FeatureSet) -> Run:
  F = len(s.rows_FA)
  said = {'what': f'{F:,} random directions, as dense as {inputs.main.run}'}
  needed, most = baselines.gram_bytes(F), inputs.config.block_bytes
  if needed > most:
    why = (
      f'the least squares of its decoder take a matrix of {needed:,} bytes, '
      f'and analysis.block_bytes is {most:,.0f}'
    )
    return Run(
      None, said | {'loss_recovered': None, 'loss_recovered_reason': why}
    )
  x_NA = inputs.rows(s.model, inputs.config.control_rows)
  inputs.w.log(f'analysis: a decoder of {s.run} from {len(x_NA):,} activations')
  refitted = baselines.refit(meshes.fetch(s.sae), x_NA, inputs.dot)
  said['what'] += f', their decoder refitted on {len(x_NA):,} activations'
  return Run(meshes.place(inputs.mesh, refitted), said)


def _sums(lm, batch):
  """The sum of the activations, and how many there are."""
  acts_BTA = programs.forward(lm, batch[0])
  x_NA = rows_of(acts_BTA).astype(jnp.float32)
  return x_NA.sum(0), jnp.asarray(len(x_NA), jnp.int32)


def _held_out(
  inputs: AnalysisInputs, labelled: Labelled, model: str, contexts, B
):
  """(tokens_BT, subset_BT, group_BT) of held-out contexts, whole batches."""
  store = inputs.store
  there = min(contexts, store.n_contexts('val'))
  B = min(B, there)
  n = there // B
  opened = stream.batches(store, 'val', B, seed=None, start=0, epochs=1)
  bar = metrics.progress(f'analysis/preserved/{model}', total=n * B, unit='ctx')
  for _, batch in zip(range(n), opened, strict=False):
    subset_BT = labelled.subset(batch.tokens_BT, batch.context_B)
    group_BT = inputs.groups('val', batch.context_B)
    yield tuple(map(inputs.put, (batch.tokens_BT, subset_BT, group_BT)))
    bar.update(B)
  opened.close()
  bar.close()


def _pictures(inputs: AnalysisInputs, runs: dict, out: pathlib.Path) -> None:
  # A model without knowledge has no loss to recover.
  shuffled = {m for m, c in inputs.w.config.models.items() if c.shuffle_of}
  sets = [s for s in inputs.feature_sets() if s.model not in shuffled]
  dictionaries = [s.run for s in sets if not s.is_control]
  tokens = runs[inputs.main.run]['tokens']
  by_model: dict[str, list[str]] = {}
  for s in sets:
    kind = 'baselines' if s.is_control else 'dictionaries'
    if runs[s.run]['loss_recovered'] is not None:
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
    f'Every dictionary of a trained model, on {tokens:,} held-out tokens, and '
    f'baselines of {_k(inputs)} numbers a token, as many as {inputs.main.run} '
    'has active features.',
    'L0: mean number of active features, or numbers kept, of a token',
    'loss recovered (zero ablation: 0)',
    names=by_model,
    log_x=True,
  )
  subsets = runs[inputs.main.run]['subsets']
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


ANALYSIS = Analysis(
  order=20,
  make=make,
  title='What dictionaries preserve',
  asked='How much of the loss comes back when reconstructions stand for '
  'activations, and how much with neurons, components or random directions, '
  'as many a token?',
  answer=effects.preserved,
  picture='frontier.png',
  view='scorecard',
)
