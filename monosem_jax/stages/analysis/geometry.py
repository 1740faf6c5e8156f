"""How decoder rows lie to one another; `analysis.geometry`."""

import pathlib

import numpy as np

from monosem_jax.analysis import figures, geometry
from monosem_jax.features import moments
from monosem_jax.files import write_arrays
from monosem_jax.stages.analysis.bench import (
  Bench,
  NotHere,
  Subject,
  activations,
  part,
)
from monosem_jax.stages.analysis.words import described

# Features of the main dictionary whose activations are correlated, at most.
_CORRELATED = 4_096
# Features that can be laid out in the dimensions clusters are found in.
_FEWEST = geometry.CLUSTER_DIMENSIONS + 2


def make(bench: Bench, out: pathlib.Path) -> dict:
  growing, seed = bench.growing(), bench.config.seed
  live = int(bench.main.live_F.sum())
  if live < _FEWEST:
    raise NotHere(
      f'{bench.main.run} has {live} features to be laid out; {_FEWEST} can be'
    )
  upto = growing.index(bench.main) + 1
  # The paper's two layouts: up to the main dictionary, and the next larger.
  numbers: dict = {'layouts': {}}
  for name, own in (('small', growing[:upto]), ('large', growing[: upto + 1])):
    if name == 'large' and len(own) == upto:
      continue
    rows_FA, runs_F, at_F = _together(own)
    position_F2 = geometry.layout(
      rows_FA, min_dist=geometry.MIN_DIST[name], seed=seed
    )
    columns = {
      'position_F2': position_F2,
      'dictionary_F': runs_F,
      'feature_F': at_F,
    }
    if name == 'small':
      clusters = geometry.clusters(rows_FA, seed)
      columns |= {'cluster_F': clusters.cluster_F, 'order_F': clusters.order_F}
      numbers['clusters'] = _clusters(bench, own, runs_F, at_F, clusters)
      numbers['unclustered'] = int((clusters.cluster_F < 0).sum())
    write_arrays(out / f'{name}.npz', columns)
    numbers['layouts'][name] = [s.run for s in own]
    figures.scatter(
      out / f'{name}.png',
      {s.run: tuple(position_F2[runs_F == k].T) for k, s in enumerate(own)},
      'UMAP of the decoder rows of live features (15 neighbours by cosine, '
      f'min_dist {geometry.MIN_DIST[name]:g}); in brackets how many.',
      'first dimension (no unit)',
      'second dimension (no unit)',
    )
  runs = {}
  for s in bench.subjects():
    if s.live_F.sum() > 2:
      found = geometry.clumping(s.rows_FA[s.live_F], seed)
      runs[s.run] = {f'clumping_{k}': x for k, x in found.items()}
  return numbers | {'runs': runs, 'agreement': _agreement(bench)}


def _together(own: list[Subject]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The live features of several dictionaries: rows, whose, which."""
  at = [np.flatnonzero(s.live_F) for s in own]
  return (
    np.concatenate([s.rows_FA[i] for s, i in zip(own, at, strict=True)]),
    np.repeat(np.arange(len(own)), [i.size for i in at]),
    np.concatenate(at),
  )


def _clusters(bench: Bench, own, runs_F, at_F, clusters) -> list[dict]:
  """The largest clusters, by what their medoids are about."""
  size_C = np.bincount(clusters.cluster_F[clusters.cluster_F >= 0], minlength=0)
  found = []
  for c in np.argsort(-size_C, kind='stable')[:20]:
    medoid = clusters.medoid_C[c]
    s, i = own[runs_F[medoid]], int(at_F[medoid])
    found.append(
      {
        'features': int(size_C[c]),
        'medoid': f'{s.run}/{i}',
        **described(bench, s, i),
      }
    )
  return found


def _agreement(bench: Bench) -> dict:
  """Whether rows that are near fire alike, and have like logit weights."""
  s, of = bench.main, activations(bench.dot)
  chosen = np.flatnonzero(s.live_F)
  chosen = np.random.default_rng(bench.config.seed).permutation(chosen)
  chosen = np.sort(chosen[:_CORRELATED])

  def both(args, batch):
    f_NF = of(args, batch)
    return f_NF, f_NF

  r_FF = moments.correlation(
    moments.collect(
      moments.make_step(both, bench.dot),
      (bench.lm(s.model), part(s.sae, chosen)),
      bench.batches(f'geometry/{s.name}'),
    )
  )
  return {
    'of': s.run,
    'features': int(chosen.size),
    'tokens': bench.tokens,
    'spearman': geometry.agreement(s.rows_FA[chosen], r_FF),
  }
