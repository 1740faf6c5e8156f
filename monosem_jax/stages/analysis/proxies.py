"""Features that proxies and subsets of the corpus ask for, against neurons.

The paper's four deep dives, as pages, and the same for every proxy that the
corpus has; `analysis.proxies`, `analysis.labels`.
"""

import pathlib
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import figures, labels
from monosem_jax.features import moments
from monosem_jax.files import write_arrays
from monosem_jax.stages.analysis import dives
from monosem_jax.stages.analysis.bench import (
  Bench,
  Subject,
  activations,
  part,
)
from monosem_jax.stages.analysis.labelled import Labelled

# Bins of a ranking.
_BINS = 32


def make(bench: Bench, out: pathlib.Path) -> dict:
  labelled = Labelled(bench, bench.config.split)
  names = labelled.proxy_names
  step = moments.make_step(_with_labels(bench), bench.dot)
  runs, best, r = {}, {}, {}
  for s in bench.subjects():
    r[s.name], own = _best(bench, step, labelled, s)
    best[s.name] = own
    r_XY = r[s.name]
    write_arrays(out / f'{s.name}.npz', {'r_XY': r_XY})
    runs[s.run] = {
      'proxies': dict(zip(names, own[: len(names)], strict=True)),
      'subsets': dict(
        zip(labelled.subset_names, own[len(names) :], strict=True)
      ),
    }
  ranks = {
    s.run: _auc(bench, labelled, s)
    for s in bench.subjects(bench.main.model)
    if s is bench.main or s.name.endswith('_neurons')
  }
  found = dives.make(bench, labelled, best, r[bench.main.name], out)
  subsets = _subsets(labelled, ranks, runs)
  _pictures(bench, labelled, runs, subsets, out)
  return {
    'runs': runs,
    'dives': found,
    'absent': dict(labelled.proxies.absent),
    'subsets': subsets,
    'tokens': bench.tokens,
    'overlook_space': bench.config.proxies.overlook_space,
  }


def _labels(labelled: Labelled, tokens_BT, context_B) -> tuple:
  """All labels of tokens: proxies, then subsets, on_BTY."""
  on_BTP = labelled.on(tokens_BT)
  subset_BT = labelled.subset(tokens_BT, context_B)
  own_BTK = subset_BT[..., None] == np.arange(len(labelled.subset_names))
  return (np.concatenate([on_BTP, own_BTK], -1),)


def _with_labels(bench: Bench) -> Callable:
  """Activations, and the labels that come with the tokens."""
  of = activations(bench.dot)

  def pair(args, batch):
    f_NF = of(args, batch)
    return f_NF, batch[1].reshape(len(f_NF), -1).astype(f_NF.dtype)

  return pair


def _best(bench: Bench, step: Callable, labelled: Labelled, s: Subject):
  """r_XY of features and labels on one half, and of each label the best."""
  halves = [
    moments.collect(
      step,
      (bench.lm(s.model), s.sae),
      bench.batches(
        f'proxies/{s.name}', lambda *x: _labels(labelled, *x), half=half
      ),
    )
    for half in (0, 1)
  ]
  return moments.correlation(halves[0]), labels.best(*halves)


def _auc(bench: Bench, labelled: Labelled, s: Subject) -> np.ndarray:
  """How well each feature ranks each subset, auc_KF, by blocks of features."""
  of, K = activations(bench.dot), len(labelled.subset_names)
  F = s.live_F.size
  auc_KF = np.zeros((K, F))

  def ranked(args, batch):
    lm, sae, max_F = args
    return of((lm, sae), batch), batch[1].reshape(-1), max_F

  step = labels.make_ranks(ranked, K, _BINS)
  for own in moments.blocks(F, K, _BINS, bench.config.block_bytes):
    max_F = jnp.asarray(s.table.max_F[own])
    count = moments.collect(
      step,
      (bench.lm(s.model), part(s.sae, own), max_F),
      bench.batches(f'subsets/{s.name}', lambda *x: (labelled.subset(*x),)),
    )
    auc_KF[:, own] = labels.auc(count)
  return auc_KF


def _subsets(labelled: Labelled, ranks: dict, runs: dict) -> dict:
  """Of each subset the best feature, by correlation and by AUC."""
  found = {}
  for k, subset in enumerate(labelled.subset_names):
    found[subset] = {}
    for run, auc_KF in ranks.items():
      best, auc_F = runs[run]['subsets'][subset], auc_KF[k]
      if best is None or not np.isfinite(auc_F).any():
        continue
      i = int(np.nanargmax(auc_F))
      found[subset][run] = {
        'by_correlation': f'{run}/{best.index}',
        'r': best.reported,
        'by_auc': f'{run}/{i}',
        'auc': float(auc_F[i]),
      }
  return found


def _pictures(bench, labelled, runs, subsets, out) -> None:
  names = labelled.proxy_names
  of_main = [s.run for s in bench.subjects(bench.main.model)]
  if names:
    figures.bars(
      out / 'proxies.png',
      names,
      {
        run: np.array([_r(runs[run]['proxies'][n]) for n in names])
        for run in of_main
      },
      f'The best of each, found on one half of {bench.tokens:,} tokens, its '
      'correlation on the other half.',
      'proxy',
      'Pearson correlation',
    )
  for key, label in (('r', 'Pearson correlation'), ('auc', 'AUC')):
    figures.bars(
      out / f'subsets_{key}.png',
      list(subsets),
      {
        run: np.array(
          [x.get(run, {}).get(key, np.nan) for x in subsets.values()]
        )
        for run in next(iter(subsets.values()), {})
      },
      f'The best of each for a subset of the corpus, {bench.tokens:,} tokens.',
      'subset',
      label,
    )


def _r(best: labels.Best | None) -> float:
  return np.nan if best is None else best.reported
