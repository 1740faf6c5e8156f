"""Densities: dead, ultralow, live features, and two modes, over training.

The paper's appendix on feature density; `analysis.census`.
"""

import functools
import pathlib
from collections.abc import Callable

import numpy as np

from monosem_jax import mesh as meshes
from monosem_jax.analysis import census, figures
from monosem_jax.dictionary.sae import encode
from monosem_jax.features.moments import adding, collect
from monosem_jax.files import read_json, write_arrays
from monosem_jax.interop import saelens
from monosem_jax.precision import Dot
from monosem_jax.stages import programs
from monosem_jax.stages.analysis.bench import Bench, Subject

# Contexts behind the densities of the snapshots, at most.
_HISTORY_CONTEXTS = 512


def make(bench: Bench, out: pathlib.Path) -> dict:
  step = adding(functools.partial(_fired, bench.dot))
  runs, log_density = {}, {}
  for s in bench.subjects():
    tokens = s.table.meta['tokens']
    runs[s.run] = census.census(s.table.fired_F, tokens)
    density_F = s.table.density_F[s.table.fired_F > 0]
    runs[s.run]['median_density'] = (
      float(np.median(density_F)) if density_F.size else None
    )
    log_density[s.run] = census.log_density(s.table.fired_F, tokens)
    if not s.is_control:
      _three_ways(s, log_density[s.run], out)
  tokens = bench.main.table.meta['tokens']
  figures.histogram(
    out / 'densities.png',
    log_density,
    f'Density of features that fired on {tokens:,} tokens. In brackets: how '
    'many. Those that never fired are not shown.',
    'log10 of the share of tokens a feature fires on',
    bins=census.EDGES[census.EDGES >= -7],
  )
  history = {
    s.run: _history(bench, step, s, out)
    for s in bench.subjects()
    if not s.is_control
  }
  return {'runs': runs, 'history': history}


def _three_ways(s: Subject, log_F: np.ndarray, out: pathlib.Path) -> None:
  found = census.three_ways(meshes.fetch(s.sae), log_F)
  name, fired_F = s.name, s.table.fired_F > 0
  write_arrays(out / f'{name}.npz', found | {'fired_F': s.table.fired_F})
  modes = census.modes(log_F)
  low_F = fired_F & (log_F < (modes.border if modes else -np.inf))
  parts = {'lower mode': low_F, 'upper mode': fired_F & ~low_F}
  for y, label in (
    ('encoder_bias_F', 'encoder bias'),
    ('alignment_F', 'product of encoder and decoder row'),
  ):
    figures.scatter(
      out / f'{name}_{y.removesuffix("_F")}.png',
      {k: (log_F[own], found[y][own]) for k, own in parts.items()},
      f'{s.run}: features that fired on {s.table.meta["tokens"]:,} tokens, the '
      'modes split where the variance inside them is least.',
      'log10 of the density',
      label,
    )


def _fired(dot: Dot, args, batch):
  """On how many tokens each feature of several dictionaries fires."""
  lm, saes = args
  acts_BTA = programs.forward(lm, batch[0])
  x_NA = acts_BTA.reshape(-1, acts_BTA.shape[-1])
  return [(encode(sae, x_NA, dot) > 0).sum(0) for sae in saes]


def _history(
  bench: Bench, step: Callable, s: Subject, out: pathlib.Path
) -> list[dict]:
  """The census of each snapshot, all measured on the same tokens."""
  folders = sorted((bench.w.dictionary(s.name) / 'snapshots').glob('step_*'))
  snapshots = {
    read_json(folder / saelens.CONFIG)['metadata']['step']: saelens.load(folder)
    for folder in folders
  }
  if not snapshots:
    return []

  saes = [meshes.place(bench.mesh, sae) for sae in snapshots.values()]
  batches = max(_HISTORY_CONTEXTS // bench.batch_size, 1)
  contexts = min(bench.contexts, batches * bench.batch_size)
  tokens = contexts * bench.store.context
  found = collect(
    step,
    (bench.lm(s.model), saes),
    bench.batches(f'density/{s.name}', contexts=contexts),
  )
  log_density = {
    f'step {step:,}': census.log_density(np.asarray(fired_F), tokens)
    for step, fired_F in zip(snapshots, found, strict=True)
  }
  figures.histogram(
    out / f'{s.name}_over_training.png',
    log_density,
    f'{s.run} at steps of its training: density of features that fired on '
    f'{tokens:,} tokens; in brackets how many.',
    'log10 of the share of tokens a feature fires on',
    bins=census.EDGES[census.EDGES >= -7],
  )
  return [
    {'step': step, **census.census(np.asarray(fired_F), tokens)}
    for step, fired_F in zip(snapshots, found, strict=True)
  ]
