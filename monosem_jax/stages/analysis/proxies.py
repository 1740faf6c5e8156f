"""The best features and neurons for proxies and subsets of the corpus.

Every proxy in the corpus gets a page like the paper's four deep dives. See
`analysis.proxies`, `analysis.labels` and `bests`.
"""

import pathlib
from collections.abc import Callable

import numpy as np

from monosem_jax.analysis import figures, labels
from monosem_jax.analysis.results.numbers import Reason
from monosem_jax.analysis.results.proxies import (
  Best,
  Proxies,
  SetBests,
  Versus,
  Wins,
)
from monosem_jax.features import moments
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.features.moments import Moments
from monosem_jax.run.files import write_arrays
from monosem_jax.stages.analysis import bests, dives, versus
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.documents import GROUPS
from monosem_jax.stages.analysis.inputs import (
  AnalysisInputs,
  Unavailable,
  activations,
)
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.sections import kinds

# The names of the measures in pictures.
_MEASURES = {
  'r': 'Pearson correlation',
  'auc': 'AUC',
  'average_precision': 'average precision',
  'f1': 'F1',
}


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Proxies:
  labelled = Labelled(inputs, inputs.config.split)
  names = labelled.proxy_names, labelled.subset_names
  compared, why = _compared(inputs)
  step = moments.make_step(_with_labels(inputs), inputs.dot)
  by_name, best, sides, r_XY, tokens = {}, {}, {}, {}, []
  for s in inputs.feature_sets():
    halves = _halves(inputs, step, labelled, s)
    own = best[s.key] = labels.best(*halves)
    r_XY[s.key] = [moments.correlation(m) for m in halves]
    tokens = [int(m.tokens) for m in halves]
    columns = {'r_XY': r_XY[s.key][0]}
    if s.key in compared:
      found = bests.find(inputs, s, labelled.every, r_XY[s.key][0])
      sides[s.key] = s, found, bests.tell(inputs, s, labelled.every, found)
      columns = {f'{k}_XY': x.T for k, x in found.value_LF.items()}
    write_arrays(out / f'{s.key}.npz', columns)
    of_proxies, of_subsets = own[: len(names[0])], own[len(names[0]) :]
    by_name[s.name] = SetBests(
      proxies=dict(zip(names[0], of_proxies, strict=True)),
      subsets=dict(zip(names[1], of_subsets, strict=True)),
    )
  both = [sides[name] for name in compared]
  entries: dict[str, dict[str, Versus | Reason]] = {}
  wins: dict[str, Reason | dict[str, Wins]] = {}
  for kind, labels_of_kind, first in (
    ('proxies', names[0], 0),
    ('subsets', names[1], len(names[0])),
  ):
    numbered = {
      name: (k, versus.of_label(both, k))
      for k, name in enumerate(labels_of_kind, first)
    }
    entries[kind] = {name: entry for name, (_, entry) in numbered.items()}
    wins[kind] = Reason(why) if why else versus.wins(both, numbered)
  pages = dives.make(inputs, labelled, best, r_XY[inputs.main.key], both, out)
  _pictures(inputs, by_name, entries, out)
  return Proxies(
    sets=by_name,
    dives=pages,
    absent=dict(labelled.proxies.absent),
    versus=entries,
    wins=wins,
    tokens=inputs.tokens,
    half_tokens=tokens,
    unit=(
      'found on one half of the documents and told of the other; intervals of '
      f'95% over {GROUPS} groups of its documents'
    ),
    overlook_space=inputs.config.proxies.overlook_space,
  )


def _compared(inputs: AnalysisInputs) -> tuple[list[str], str]:
  """Returns the sets to compare, and why neurons are absent, or ''."""
  main = inputs.main
  try:
    return [main.key, inputs.neurons(main.model).key], ''
  except Unavailable as e:
    return [main.key], str(e)


def _with_labels(inputs: AnalysisInputs) -> Callable:
  """Returns a function to activations and the labels of their tokens."""
  of = activations(inputs.dot)

  def pair(args, batch):
    f_NF = of(args, batch)
    return f_NF, batch[1].reshape(len(f_NF), -1).astype(f_NF.dtype)

  return pair


def _halves(
  inputs: AnalysisInputs,
  step: Callable,
  labelled: Labelled,
  s: LoadedSet,
) -> list[Moments]:
  """Returns the moments of features and labels on each half."""
  return [
    moments.collect(
      step,
      (inputs.lm(s.model), s.sae),
      inputs.batches(
        f'proxies/{s.key}', lambda *x: (labelled.every(*x),), half=half
      ),
    )
    for half in (0, 1)
  ]


def _pictures(
  inputs: AnalysisInputs,
  by_name: dict[str, SetBests],
  versus_: dict[str, dict[str, Versus | Reason]],
  out: pathlib.Path,
) -> None:
  of_main = [s.name for s in inputs.feature_sets(inputs.main.model)]
  told = (
    f'Found on one half of the documents of {inputs.tokens:,} tokens, told of '
    'the other half.'
  )
  names = list(versus_['proxies'])
  if names:
    figures.bars(
      out / 'proxies.png',
      names,
      {
        name: np.array([_r(by_name[name].proxies[n]) for n in names])
        for name in of_main
      },
      f'The best of each for a proxy. {told}',
      'proxy',
      'Pearson correlation',
    )
  for kind, entries in versus_.items():
    for measure, label in _MEASURES.items():
      if entries:
        figures.bars(
          out / f'{kind}_{measure}.png',
          list(entries),
          {
            'best feature': np.array(
              [_reported(x, measure)[0] for x in entries.values()]
            ),
            'best neuron': np.array(
              [_reported(x, measure)[1] for x in entries.values()]
            ),
          },
          f'By {label}: the best {inputs.main.name} feature and the best '
          f'neuron. {told}',
          kind,
          label,
        )


def _r(best: Best | None) -> float:
  return np.nan if best is None else _number(best.reported)


def _reported(entry: Versus | Reason, measure: str) -> tuple[float, float]:
  """Returns a measure of the best feature and neuron; NaN without one."""
  if isinstance(entry, Reason):
    return np.nan, np.nan
  sides = entry.measures[measure]
  both = sides.feature, sides.neuron
  feature, neuron = (np.nan if x is None else _number(x.reported) for x in both)
  return feature, neuron


def _number(x: float | None) -> float:
  return np.nan if x is None else x


ANALYSIS = Analysis(
  order=80,
  make=make,
  numbers=Proxies,
  title='Features that mean what a proxy says',
  asked='Does a feature stand for Arabic, DNA, ..., and does it do so '
  'better than the best neuron?',
  answer=kinds.proxies,
  picture='proxies_r.png',
  view='scorecard',
)
