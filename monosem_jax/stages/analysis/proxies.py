"""Features that proxies and subsets of the corpus ask for, against neurons.

The paper's four deep dives, as pages, and the same for every proxy that the
corpus has; `analysis.proxies`, `analysis.labels`, and `bests`.
"""

import pathlib
from collections.abc import Callable

import numpy as np

from monosem_jax.analysis import figures, labels
from monosem_jax.features import moments
from monosem_jax.features.moments import Moments
from monosem_jax.run.files import write_arrays
from monosem_jax.stages.analysis import bests, dives, versus
from monosem_jax.stages.analysis.bench import (
  Bench,
  Subject,
  Unavailable,
  activations,
)
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.documents import GROUPS
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.sections import kinds

# Measures as pictures name them.
_MEASURES = {
  'r': 'Pearson correlation',
  'auc': 'AUC',
  'average_precision': 'average precision',
  'f1': 'F1',
}


def make(bench: Bench, out: pathlib.Path) -> dict:
  labelled = Labelled(bench, bench.config.split)
  names = labelled.proxy_names, labelled.subset_names
  compared, why = _compared(bench)
  step = moments.make_step(_with_labels(bench), bench.dot)
  runs, best, sides, r_XY, tokens = {}, {}, {}, {}, []
  for s in bench.subjects():
    halves = _halves(bench, step, labelled, s)
    own = best[s.name] = labels.best(*halves)
    r_XY[s.name] = [moments.correlation(m) for m in halves]
    tokens = [int(m.tokens) for m in halves]
    columns = {'r_XY': r_XY[s.name][0]}
    if s.name in compared:
      found = bests.find(bench, s, labelled.every, r_XY[s.name][0])
      sides[s.name] = s, found, bests.tell(bench, s, labelled.every, found)
      columns = {f'{k}_XY': x.T for k, x in found.value_LF.items()}
    write_arrays(out / f'{s.name}.npz', columns)
    of_proxies, of_subsets = own[: len(names[0])], own[len(names[0]) :]
    runs[s.run] = {
      'proxies': dict(zip(names[0], of_proxies, strict=True)),
      'subsets': dict(zip(names[1], of_subsets, strict=True)),
    }
  both = [sides[name] for name in compared]
  entries, wins = {'proxies': {}, 'subsets': {}}, {}
  for kind, own, first in zip(entries, names, (0, len(names[0])), strict=True):
    numbered = {
      name: (k, versus.of_label(both, k)) for k, name in enumerate(own, first)
    }
    entries[kind] = {name: entry for name, (_, entry) in numbered.items()}
    wins[kind] = {'reason': why} if why else versus.wins(both, numbered)
  pages = dives.make(bench, labelled, best, r_XY[bench.main.name], both, out)
  _pictures(bench, runs, entries, out)
  return {
    'runs': runs,
    'dives': pages,
    'absent': dict(labelled.proxies.absent),
    'versus': entries,
    'wins': wins,
    'tokens': bench.tokens,
    'half_tokens': tokens,
    'unit': (
      'found on one half of the documents and told of the other; intervals of '
      f'95% over {GROUPS} groups of its documents'
    ),
    'overlook_space': bench.config.proxies.overlook_space,
  }


def _compared(bench: Bench) -> tuple[list[str], str]:
  """The main dictionary and its neurons; why not, where these are not here."""
  main = bench.main
  try:
    return [main.name, bench.neurons(main.model).name], ''
  except Unavailable as e:
    return [main.name], str(e)


def _with_labels(bench: Bench) -> Callable:
  """Activations, and the labels that come with the tokens."""
  of = activations(bench.dot)

  def pair(args, batch):
    f_NF = of(args, batch)
    return f_NF, batch[1].reshape(len(f_NF), -1).astype(f_NF.dtype)

  return pair


def _halves(
  bench: Bench, step: Callable, labelled: Labelled, s: Subject
) -> list[Moments]:
  """Moments of features and labels, on each half of the documents."""
  return [
    moments.collect(
      step,
      (bench.lm(s.model), s.sae),
      bench.batches(
        f'proxies/{s.name}', lambda *x: (labelled.every(*x),), half=half
      ),
    )
    for half in (0, 1)
  ]


def _pictures(bench: Bench, runs: dict, versus_: dict, out) -> None:
  of_main = [s.run for s in bench.subjects(bench.main.model)]
  told = (
    f'Found on one half of the documents of {bench.tokens:,} tokens, told of '
    'the other half.'
  )
  names = list(versus_['proxies'])
  if names:
    figures.bars(
      out / 'proxies.png',
      names,
      {
        run: np.array([_r(runs[run]['proxies'][n]) for n in names])
        for run in of_main
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
            f'best {of}': np.array(
              [_reported(x, measure, of) for x in entries.values()]
            )
            for of in ('feature', 'neuron')
          },
          f'By {label}: the best {bench.main.run} feature and the best neuron. '
          f'{told}',
          kind,
          label,
        )


def _r(best: labels.Best | None) -> float:
  return np.nan if best is None else best.reported


def _reported(entry: dict, measure: str, of: str) -> float:
  own = entry.get('measures', {}).get(measure, {}).get(of)
  return np.nan if own is None else own['reported']


ANALYSIS = Analysis(
  order=80,
  make=make,
  title='Features that mean what a proxy says',
  asked='Does a feature stand for Arabic, DNA, ..., and does it do so '
  'better than the best neuron?',
  answer=kinds.proxies,
  picture='proxies_r.png',
  view='scorecard',
)
