"""Whether another model has the same features; see `analysis.universality`.

The features of the main dictionary are compared with those of its match. Also
compared are neurons with neurons, features with their own model's neurons, and
two controls: random directions with the match, and features with those of the
transformer with shuffled weights. Each comparison uses the live features, and
all features that fired.
"""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from monosem_jax import paper
from monosem_jax.analysis import figures, intervals, universality
from monosem_jax.analysis.results.arrays import Pairs, Twins
from monosem_jax.analysis.results.universality import (
  AlikePair,
  Comparison,
  Listed,
  SetMedians,
  SetUniversality,
  Universality,
)
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments
from monosem_jax.features.featureset import FeatureSet, LoadedSet
from monosem_jax.stages import programs
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import (
  AnalysisInputs,
  Unavailable,
  median,
  part,
)
from monosem_jax.stages.analysis.sections import kinds

# The number of listed pairs.
_LISTED = 20


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Universality:
  values: dict[str, np.ndarray] = {}
  compared: dict[str, Comparison] = {}
  tokens = [0, 0]
  for name, (x, y) in _asked(inputs).items():
    found, tokens = _nearest(inputs, name, x, y)
    pairs = _pairs(inputs, name, x, y, found)
    listed = None
    values[name] = pairs['live'].activation_M
    if name == 'features':
      _twins(*found['live']).save(out / 'twins.npz')
      pairs['live'].save(out / 'pairs.npz')
      listed = _listed(x, y, pairs['live'])
      _scatter(x, y, pairs['live'], tokens[1], out / 'similarities.png')
    compared[name] = Comparison(
      name=x.name,
      other=y.name,
      median=median(values[name]),
      interval=intervals.of(values[name]),
      count=len(values[name]),
      paper=paper.UNIVERSALITY.get(name),
      sets={
        which: _of_set(own, int(_sets(x, y)[which][0].sum()))
        for which, own in pairs.items()
      },
      listed=listed,
    )
  figures.histogram(
    out / 'nearest.png',
    values,
    'Of each live feature the nearest of the other set by activations, found '
    'on one half of the documents: their correlation over '
    f'{tokens[1]:,} tokens of the other half; in brackets how many. The '
    "paper's medians: "
    + ', '.join(f'{k} {r:.2f}' for k, r in paper.UNIVERSALITY.items())
    + '.',
    'Pearson correlation with the nearest',
    bins=np.linspace(-0.1, 1, 56),
  )
  # The sets that are compared with the same kind of the other model.
  alike = [
    compared[name]
    for name in ('features', 'neurons', 'random directions')
    if name in compared
  ]
  return Universality(
    sets={
      own.name: SetUniversality(own.median, own.interval, own.count)
      for own in alike
    },
    pairs=compared,
    interval_unit='features',
    found_tokens=tokens[0],
    tokens=tokens[1],
  )


def _asked(
  inputs: AnalysisInputs,
) -> dict[str, tuple[LoadedSet, LoadedSet]]:
  """Returns the pairs of sets to compare, by name."""
  main, match = inputs.main, inputs.match
  pairs = {'features': (main, match)}
  with contextlib.suppress(Unavailable):
    own = inputs.neurons(main.model)
    pairs['neurons'] = own, inputs.neurons(match.model)
    pairs['own neurons'] = main, own
  for s in inputs.feature_sets():
    if s.id.kind == 'random':
      pairs['random directions'] = (s, match)
    shuffled = inputs.run.config.models[s.model].shuffle_of and not s.is_control
    # Prefer the dictionary with the main dictionary's number.
    if shuffled and (
      'shuffled weights' not in pairs or s.id.kind == main.id.kind
    ):
      pairs['shuffled weights'] = (main, s)
  return pairs


def _sets(x: FeatureSet, y: FeatureSet) -> universality.Sets:
  """Returns the features to match, and the candidates, by set."""
  return {
    'live': (x.live_F, y.live_F),
    'firing': (x.fires_F, y.fires_F),
  }


def _blocks(
  inputs: AnalysisInputs,
  name: str,
  x: LoadedSet,
  y: LoadedSet,
  of: Callable,
  halves: tuple[int, ...],
) -> Iterator[tuple]:
  """Yields blocks of x, and moments of `of` with y on each half.

  Each block takes a pass over the tokens, since r_XY of two large dictionaries
  does not fit in memory.
  """
  step = _step(of, inputs.dot)
  side_y = universality.side(inputs.lm(y.model), y.sae)
  parts = moments.blocks(
    x.live_F.size, y.live_F.size, len(halves), inputs.config.block_bytes
  )
  for i, own in enumerate(parts):
    side_x = universality.side(inputs.lm(x.model), part(x.sae, own))
    line = f'universality/{name}' + (
      f' {i + 1} of {len(parts)}' if len(parts) > 1 else ''
    )
    sums = [
      moments.collect(
        step,
        (side_x, side_y),
        inputs.batches(f'{line} half {half + 1}', half=half),
      )
      for half in halves
    ]
    yield own, *sums


def _nearest(
  inputs: AnalysisInputs, name: str, x: LoadedSet, y: LoadedSet
) -> tuple:
  """Returns the nearest features by activations, and the tokens of each half.

  By set: the nearest feature of y for each of x, and the reverse.
  """
  tokens: list[int] = []

  def read():
    for own, *sums in _blocks(
      inputs, name, x, y, universality.activations, (0, 1)
    ):
      tokens[:] = [int(m.tokens) for m in sums]
      yield own, *map(moments.correlation, sums)

  return universality.nearest(read(), _sets(x, y)), tokens


def _twins(near: universality.Nearest, back: universality.Nearest) -> Twins:
  """Returns each feature's nearest feature of the match, and the reverse."""
  columns = [
    (
      n.index_X.astype(np.int32),
      n.found_X.astype(np.float32),
      n.r_X.astype(np.float32),
    )
    for n in (near, back)
  ]
  return Twins(*columns[0], *columns[1])


@functools.cache
def _step(of: Callable, dot: Dot) -> Callable:
  pair = universality.pair(
    lambda s, batch: of(programs.forward, dot, s, batch[0])
  )
  return moments.make_step(pair, dot)


def _pairs(
  inputs: AnalysisInputs,
  name: str,
  x: LoadedSet,
  y: LoadedSet,
  found: Mapping,
) -> dict[str, Pairs]:
  """Returns, by set, the pairs of features and their similarities.

  Attributions use the half that was not searched for pairs.
  """
  pairs = {}
  for which, (own_X, _) in _sets(x, y).items():
    near = found[which][0]
    i_M = np.flatnonzero(own_X & (near.index_X >= 0))
    j_M = near.index_X[i_M]
    pairs[which] = Pairs(
      feature_M=i_M,
      match_M=j_M,
      found_M=near.found_X[i_M],
      activation_M=near.r_X[i_M],
      logits_M=universality.logit_correlation(
        (inputs.lm(x.model), x.sae.W_dec_FA[i_M]),
        (inputs.lm(y.model), y.sae.W_dec_FA[j_M]),
      ),
      attribution_M=np.zeros(i_M.size, np.float32),
    )
  line = f'{name}, attributions'
  for own, sums in _blocks(inputs, line, x, y, universality.attributions, (1,)):
    r_nY = moments.correlation(sums)
    for p in pairs.values():
      i_M = p.feature_M
      mine_M = (i_M >= own.start) & (i_M < own.stop)
      at = i_M[mine_M] - own.start, p.match_M[mine_M]
      p.attribution_M[mine_M] = r_nY[at]
  return pairs


def _of_set(p: Pairs, features: int) -> SetMedians:
  """Returns medians of pairs, with intervals over features."""
  r_M, logits_M = p.activation_M, p.logits_M
  alike_M = r_M > universality.ALIKE
  return SetMedians(
    n=len(r_M),
    without=features - len(r_M),
    median_found=median(p.found_M),
    median_activation=median(r_M),
    interval_activation=intervals.of(r_M),
    median_logits=median(logits_M),
    interval_logits=intervals.of(logits_M),
    median_attribution=median(p.attribution_M),
    interval_attribution=intervals.of(p.attribution_M),
    alike=int(alike_M.sum()),
    alike_but_apart=int((alike_M & (logits_M < universality.APART)).sum()),
  )


def _listed(x: FeatureSet, y: FeatureSet, p: Pairs) -> Listed:
  """Returns the most similar pairs, and those similar only in activation."""

  def pair(m: int) -> AlikePair:
    return AlikePair(
      feature=f'{x.name}/{p.feature_M[m]}',
      match=f'{y.name}/{p.match_M[m]}',
      density=float(x.table.density_F[p.feature_M[m]]),
      found=float(p.found_M[m]),
      activation=float(p.activation_M[m]),
      logits=float(p.logits_M[m]),
      attribution=float(p.attribution_M[m]),
    )

  r_M, logits_M = p.activation_M, p.logits_M
  apart_M = (r_M > universality.ALIKE) & (logits_M < universality.APART)
  falling = np.argsort(logits_M - r_M, kind='stable')
  return Listed(
    median_activation=median(r_M),
    median_logits=median(logits_M),
    median_attribution=median(p.attribution_M),
    nearest=[pair(m) for m in np.argsort(-r_M)[:_LISTED]],
    alike_above=universality.ALIKE,
    apart_below=universality.APART,
    outliers=[pair(m) for m in falling if apart_M[m]][:_LISTED],
    attribution_follows_activation=_r(r_M, p.attribution_M),
    logits_follow_activation=_r(r_M, logits_M),
  )


def _scatter(x: FeatureSet, y: FeatureSet, p: Pairs, tokens: int, path) -> None:
  figures.scatter(
    path,
    {
      'attribution': (p.activation_M, p.attribution_M),
      'logit weights': (p.activation_M, p.logits_M),
    },
    f'Live features of {x.name} and the nearest of {y.name} by activations, '
    f'found on one half of the documents, over {tokens:,} tokens of the other.',
    'correlation of activations',
    'correlation of attributions, or of logit weights',
    line=True,
  )


def _r(a: np.ndarray, b: np.ndarray) -> float | None:
  """Returns Pearson's correlation; None if it is not defined."""
  if len(a) < 2 or not (np.ptp(a) and np.ptp(b)):
    return None
  return float(np.corrcoef(a, b)[0, 1])


ANALYSIS = Analysis(
  order=100,
  make=make,
  numbers=Universality,
  title='Universality',
  asked='Has another model, from another seed, the same features?',
  answer=kinds.universality,
  picture='nearest.png',
  view='universality',
)
