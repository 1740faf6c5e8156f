"""The loss that dictionaries preserve, by subset, and the frontier of a sweep.

This is the paper's loss recovered (`analysis.preserved`). The baselines
(`analysis.baselines`) write an activation with as many numbers per token as the
main dictionary has active features, k. They have the names of the controls:
`A/neurons` keeps the k largest neurons. The neurons farthest from their means
are reported under `about_means`.
"""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import baselines, figures, intervals, preserved
from monosem_jax.analysis.results.preserved import (
  Components,
  Described,
  Independent,
  Largest,
  Matched,
  Measured,
  Preserved,
  Refused,
  SetPreserved,
)
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary.sae import SAE, rows_of
from monosem_jax.features.featureset import LoadedSet
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

# The key of the neurons farthest from their means, among the sets of a model.
_FAR = 'about means'


@dataclasses.dataclass(frozen=True, eq=False)
class Way:
  """A method to write activations: a dictionary or a baseline.

  Attributes:
    dictionary: the dictionary on the mesh, or why it cannot be made.
    kept: the numbers kept per token.
  """

  dictionary: SAE | baselines.SparseBasis | Refused
  kept: Independent | Components | Largest | Described


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Preserved:
  by_name: dict[str, SetPreserved] = {}
  about_means: dict[str, SetPreserved] = {}
  c, main = inputs.run.config.evaluation, inputs.main
  labelled = Labelled(inputs, 'val')
  step = preserved.make_step(
    baselines.reconstruct, inputs.dot, len(labelled.subset_names), GROUPS
  )
  sums = adding(_sums)
  for model in inputs.run.config.models:
    sets = inputs.feature_sets(model)
    if not sets:
      continue
    lm = inputs.lm(model)
    sum_A, count = collect(sums, lm, inputs.batches(f'mean/{model}'))
    mean_A = np.asarray(sum_A / count, np.float32)
    own = {s.name: _way(inputs, s) for s in sets}
    neurons = f'{model}/neurons'
    if neurons in own:
      own[_FAR] = _neurons(inputs, mean_A, 'farthest from their means')
    there = {
      name: way.dictionary
      for name, way in own.items()
      if not isinstance(way.dictionary, Refused)
    }
    total = collect(
      step,
      (lm, jnp.asarray(mean_A), there),
      _held_out(inputs, labelled, model, c.contexts, c.batch_size),
    )
    found = preserved.numbers(
      total, labelled.subset_names, intervals.over_groups
    )
    beside = {}
    if model == main.model:
      beside = preserved.margins(total, main.name, intervals.over_groups)
    for name, way in own.items():
      by_name[name] = SetPreserved(
        way.kept,
        way.dictionary if isinstance(way.dictionary, Refused) else found[name],
        beside.get(name),
      )
    if _FAR in by_name:
      about_means[neurons] = by_name.pop(_FAR)
  _pictures(inputs, by_name, out)
  return Preserved(
    sets=by_name,
    about_means=about_means,
    matched=Matched(main.name, _l0(inputs), _k(inputs)),
    interval='95%, over groups of documents, by their hash',
  )


def _l0(inputs: AnalysisInputs) -> float:
  """Returns the main dictionary's L0 on held-out text."""
  folder = inputs.run.workdir.evaluation(inputs.main.key)
  return read_json(folder / 'numbers.json')['l0']


def _k(inputs: AnalysisInputs) -> int:
  """Returns k, the main dictionary's L0 as a whole number."""
  return max(1, round(_l0(inputs)))


def _neurons(inputs: AnalysisInputs, offset_A: np.ndarray, which: str) -> Way:
  """Returns the k neurons that deviate most from `offset_A`."""
  k = min(_k(inputs), offset_A.size)
  basis = meshes.place(inputs.mesh, baselines.neurons(offset_A, k))
  return Way(basis, Largest(f'{k} neurons a token, the {which}', k))


def _way(inputs: AnalysisInputs, s: LoadedSet) -> Way:
  if not s.is_control:
    return Way(s.sae, Described(f'dictionary of {len(s.rows_FA):,} features'))
  kind = s.id.kind
  if kind == 'random':
    return _random(inputs, s)
  if kind == 'neurons':
    return _neurons(inputs, np.zeros(s.rows_FA.shape[1]), 'largest')
  F = len(s.rows_FA)
  k = min(_k(inputs), F)
  basis, passes = baselines.components(s.sae, k), inputs.config.ica_passes
  if kind == 'pca':
    what = f'{k} signed principal components a token'
    return Way(basis, Components(k, F, what))
  what = (
    f'{k} signed independent components a token, of {F:,} by '
    f'{passes} passes of FastICA'
  )
  return Way(basis, Independent(k, F, passes, what))


def _random(inputs: AnalysisInputs, s: LoadedSet) -> Way:
  F = len(s.rows_FA)
  what = f'{F:,} random directions, as dense as {inputs.main.name}'
  needed, most = baselines.gram_bytes(F), inputs.config.block_bytes
  if needed > most:
    why = (
      f'the least squares of its decoder take a matrix of {needed:,} bytes, '
      f'and analysis.block_bytes is {most:,.0f}'
    )
    return Way(Refused(None, why), Described(what))
  x_NA = inputs.rows(s.model, inputs.config.control_rows)
  inputs.run.log(
    f'analysis: a decoder of {s.name} from {len(x_NA):,} activations'
  )
  refitted = baselines.refit(meshes.fetch(s.sae), x_NA, inputs.dot)
  what += f', their decoder refitted on {len(x_NA):,} activations'
  return Way(meshes.place(inputs.mesh, refitted), Described(what))


def _sums(lm, batch):
  """Returns the sum of the activations, and their number."""
  acts_BTA = programs.forward(lm, batch[0])
  x_NA = rows_of(acts_BTA).astype(jnp.float32)
  return x_NA.sum(0), jnp.asarray(len(x_NA), jnp.int32)


def _held_out(
  inputs: AnalysisInputs, labelled: Labelled, model: str, contexts, B
):
  """Yields whole held-out batches: tokens_BT, subset_BT, group_BT."""
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


def _pictures(
  inputs: AnalysisInputs, by_name: dict[str, SetPreserved], out: pathlib.Path
) -> None:
  # A shuffled model has no loss to recover.
  shuffled = {m for m, c in inputs.run.config.models.items() if c.shuffle_of}
  sets = [s for s in inputs.feature_sets() if s.model not in shuffled]
  dictionaries = [s.name for s in sets if not s.is_control]
  found = {
    name: own.found
    for name, own in by_name.items()
    if isinstance(own.found, Measured)
  }
  tokens = found[inputs.main.name].whole.tokens
  by_model: dict[str, list[str]] = {}
  for s in sets:
    kind = 'baselines' if s.is_control else 'dictionaries'
    own = found.get(s.name)
    if own is not None and own.whole.loss_recovered is not None:
      by_model.setdefault(f'{s.model}: {kind}', []).append(s.name)
  figures.scatter(
    out / 'frontier.png',
    {
      name: (
        np.array([found[r].whole.l0 for r in own], float),
        np.array([found[r].whole.loss_recovered for r in own], float),
      )
      for name, own in by_model.items()
    },
    f'Every dictionary of a trained model, on {tokens:,} held-out tokens, and '
    f'baselines of {_k(inputs)} numbers a token, as many as {inputs.main.name} '
    'has active features.',
    'L0: mean number of active features, or numbers kept, of a token',
    'loss recovered (zero ablation: 0)',
    names=by_model,
    log_x=True,
  )
  subsets = found[inputs.main.name].subsets
  figures.bars(
    out / 'subsets.png',
    list(subsets),
    {
      name: np.array(
        [found[name].subsets[s].loss_recovered for s in subsets], float
      )
      for name in dictionaries
    },
    f'By subset of the corpus, {tokens:,} held-out tokens in all.',
    'subset',
    'loss recovered (zero ablation: 0)',
  )


ANALYSIS = Analysis(
  order=20,
  make=make,
  numbers=Preserved,
  title='What dictionaries preserve',
  asked='How much of the loss comes back when reconstructions stand for '
  'activations, and how much with neurons, components or random directions, '
  'as many a token?',
  answer=effects.preserved,
  picture='frontier.png',
  view='scorecard',
)
