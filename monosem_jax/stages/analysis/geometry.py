"""The geometry of decoder rows; see `analysis.geometry` and `agreement`."""

import dataclasses
import pathlib

import numpy as np

from monosem_jax.analysis import agreement, figures, geometry, intervals
from monosem_jax.analysis.results.arrays import Layout
from monosem_jax.analysis.results.geometry import (
  Agreement,
  Agreements,
  Cluster,
  Geometry,
  RandomDictionary,
  RandomRows,
  SetClumping,
  Spread,
  Trust,
)
from monosem_jax.analysis.results.numbers import Reason
from monosem_jax.features import moments
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import (
  AnalysisInputs,
  Unavailable,
  activations,
  part,
)
from monosem_jax.stages.analysis.sections import kinds
from monosem_jax.stages.analysis.words import described

# The most features of the main dictionary whose activations are correlated.
_CORRELATED = 4_096
# The most rows used for a layout's trustworthiness.
_TRUSTED = 4_096
# The number of random draws of rows, and of layouts.
_DRAWS = 5
# The fewest features that UMAP can lay out for clustering.
_FEWEST = geometry.CLUSTER_DIMENSIONS + 2


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Geometry:
  growing, seed = inputs.growing(), inputs.config.seed
  live = int(inputs.main.live_F.sum())
  if live < _FEWEST:
    raise Unavailable(
      f'{inputs.main.name} has {live} features to be laid out; {_FEWEST} can be'
    )
  upto = growing.index(inputs.main) + 1
  # The paper's two layouts: dictionaries up to the main one, and one more.
  layouts: dict[str, list[str]] = {}
  trust: dict[str, Trust] = {}
  for name, own in (('small', growing[:upto]), ('large', growing[: upto + 1])):
    if name == 'large' and len(own) == upto:
      continue
    rows_FA, set_F, at_F = _together(own)
    position_F2 = geometry.layout(
      rows_FA, min_dist=geometry.MIN_DIST[name], seed=seed
    )
    placed = Layout(position_F2, set_F, at_F)
    if name == 'small':
      clusters = geometry.clusters(rows_FA, seed)
      placed = dataclasses.replace(
        placed, cluster_F=clusters.cluster_F, order_F=clusters.order_F
      )
      described_clusters = _clusters(inputs, own, set_F, at_F, clusters)
      unclustered = int((clusters.cluster_F < 0).sum())
    placed.save(out / f'{name}.npz')
    layouts[name] = [s.name for s in own]
    trust[name] = _trust(rows_FA, position_F2, seed)
    figures.scatter(
      out / f'{name}.png',
      {s.name: tuple(position_F2[set_F == k].T) for k, s in enumerate(own)},
      'UMAP of the decoder rows of live features (15 neighbours by cosine, '
      f'min_dist {geometry.MIN_DIST[name]:g}); in brackets how many.',
      'first dimension (no unit)',
      'second dimension (no unit)',
    )
  by_name = {}
  for s in inputs.feature_sets():
    if s.live_F.sum() > 2:
      near_F, random_F = geometry.clumping(s.rows_FA[s.live_F], seed)
      by_name[s.name] = SetClumping(
        clumping_nearest=float(near_F.mean()),
        clumping_nearest_interval=intervals.of(near_F, np.mean),
        clumping_nearest_random=float(random_F.mean()),
        clumping_features=near_F.size,
      )
  agreements = _agreements(inputs)
  _bars(agreements, trust['small'], out / 'agreement.png')
  return Geometry(
    layouts=layouts,
    trustworthiness=trust,
    clusters=described_clusters,
    unclustered=unclustered,
    sets=by_name,
    interval_unit='features',
    agreement=agreements,
  )


def _trust(rows_FA: np.ndarray, position_F2: np.ndarray, seed: int) -> Trust:
  """Returns a layout's trustworthiness, and that of shuffled positions."""
  rng = np.random.default_rng(seed)
  chosen = rng.permutation(len(rows_FA))[:_TRUSTED]
  rows_FA, position_F2 = rows_FA[chosen], position_F2[chosen]
  k = min(geometry.NEIGHBOURS, (chosen.size - 1) // 2)
  trust_F = agreement.trustworthiness(rows_FA, position_F2, k)
  random = [
    agreement.trustworthiness(rows_FA, rng.permutation(position_F2), k).mean()
    for _ in range(_DRAWS)
  ]
  return Trust(
    features=int(chosen.size),
    neighbours=k,
    value=float(trust_F.mean()),
    interval=intervals.of(trust_F, np.mean),
    random_layout=_spread(random),
  )


def _together(
  own: list[LoadedSet],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the live features of several sets: rows, set number, feature."""
  at = [np.flatnonzero(s.live_F) for s in own]
  return (
    np.concatenate([s.rows_FA[i] for s, i in zip(own, at, strict=True)]),
    np.repeat(np.arange(len(own)), [i.size for i in at]),
    np.concatenate(at),
  )


def _clusters(
  inputs: AnalysisInputs, own, set_F, at_F, clusters
) -> list[Cluster]:
  """Returns the largest clusters, described by their medoids."""
  size_C = np.bincount(clusters.cluster_F[clusters.cluster_F >= 0], minlength=0)
  found = []
  for c in np.argsort(-size_C, kind='stable')[:20]:
    medoid = clusters.medoid_C[c]
    s, i = own[set_F[medoid]], int(at_F[medoid])
    found.append(
      Cluster(
        features=int(size_C[c]),
        medoid=f'{s.name}/{i}',
        words=described(inputs, s, i),
      )
    )
  return found


def _agreements(inputs: AnalysisInputs) -> Agreements:
  """Measures whether features with close rows have correlated activations.

  There are two controls. Random rows in place of the dictionary's show chance
  agreement. The features of a random dictionary agree without any training,
  since their activations are computed from the compared rows.
  """
  s, seed = inputs.main, inputs.config.seed
  chosen = _chosen(s, _CORRELATED, seed)
  r_FF = _correlations(inputs, s, chosen)
  found = _agreement(s.rows_FA[chosen], r_FF, seed)
  n, k = chosen.size, found.neighbours
  draws = [
    _agreement(geometry.random_rows(n, s.rows_FA.shape[1], seed + d), r_FF, d)
    for d in range(1, _DRAWS + 1)
  ]
  random: RandomDictionary | Reason = Reason(
    'random is not among analysis.controls'
  )
  for other in inputs.feature_sets(s.model):
    if other.id.kind != 'random':
      continue
    others = _chosen(other, n, seed)
    random = Reason(f'{other.name} has {others.size} live features')
    if others.size >= _FEWEST:
      own_FF = _correlations(inputs, other, others)
      random = RandomDictionary(
        other.name,
        int(others.size),
        _agreement(other.rows_FA[others], own_FF, seed),
      )
  return Agreements(
    name=s.name,
    features=int(n),
    tokens=inputs.tokens,
    found=found,
    random_rows=RandomRows(
      spearman=_spread([x.spearman for x in draws]),
      overlap=_spread([x.overlap for x in draws]),
      overlap_by_chance=k / (n - 1),
    ),
    random_dictionary=random,
  )


def _chosen(s: LoadedSet, most: int, seed: int) -> np.ndarray:
  live = np.random.default_rng(seed).permutation(np.flatnonzero(s.live_F))
  return np.sort(live[:most])


def _correlations(
  inputs: AnalysisInputs, s: LoadedSet, chosen: np.ndarray
) -> np.ndarray:
  """Returns the correlations r_FF of chosen features over all tokens."""
  of = activations(inputs.dot)

  def both(args, batch):
    f_NF = of(args, batch)
    return f_NF, f_NF

  return moments.correlation(
    moments.collect(
      moments.make_step(both, inputs.dot),
      (inputs.lm(s.model), part(s.sae, chosen)),
      inputs.batches(f'geometry/{s.key}'),
    )
  )


def _agreement(rows_FA: np.ndarray, r_FF: np.ndarray, seed: int) -> Agreement:
  k = min(geometry.NEIGHBOURS, len(rows_FA) - 1)
  index_Fk = geometry.neighbours(rows_FA, k + 1)[0][:, 1:]
  overlap_F = agreement.overlap(index_Fk, r_FF)
  ranked = agreement.rank_correlation(rows_FA, r_FF, seed=seed)
  spearman, ends = (None, None) if ranked is None else ranked
  return Agreement(
    spearman=spearman,
    spearman_interval=ends,
    overlap=float(overlap_F.mean()),
    overlap_interval=intervals.of(overlap_F, np.mean),
    neighbours=k,
  )


def _spread(draws: list[float | None]) -> Spread:
  """Returns mean and standard deviation of draws."""
  x_D = np.array([x for x in draws if x is not None])
  there = x_D.size > 1
  return Spread(
    draws=int(x_D.size),
    mean=float(x_D.mean()) if there else None,
    sd=float(x_D.std(ddof=1)) if there else None,
  )


def _bars(own: Agreements, trust: Trust, path: pathlib.Path) -> None:
  rows, other = own.random_rows, own.random_dictionary
  learned: tuple[float | None, float | None] = None, None
  if isinstance(other, RandomDictionary):
    learned = other.found.spearman, other.found.overlap
  column = lambda *xs: np.array([np.nan if x is None else x for x in xs], float)
  figures.bars(
    path,
    ['rank correlation', 'neighbour overlap', 'trustworthiness of the map'],
    {
      own.name: column(own.found.spearman, own.found.overlap, trust.value),
      'random rows, random layout': column(
        rows.spearman.mean, rows.overlap.mean, trust.random_layout.mean
      ),
      'random dictionary': column(*learned, None),
    },
    f"Of {own.features:,} live features: Spearman's correlation of the "
    "cosine of two rows with the correlation of the two features' activations "
    f'over {own.tokens:,} tokens; the share of the {own.found.neighbours} '
    'nearest rows that are most correlated, too; and the map that shows them.',
    'measure',
    'value (no unit)',
  )


ANALYSIS = Analysis(
  order=120,
  make=make,
  numbers=Geometry,
  title='Geometry',
  asked='Do features that fire alike lie near each other?',
  answer=kinds.geometry,
  picture='small.png',
  view='map',
)
