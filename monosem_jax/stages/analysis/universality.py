"""Whether another model has the same features; `analysis.universality`.

Features of the main dictionary against those of its match; beside that neurons
against neurons, features against their own neurons, and two controls: random
directions against the match, and features against those of the transformer
with shuffled weights. Each for two sets: the live features, and all that fired.
"""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from monosem_jax import paper
from monosem_jax.analysis import figures, intervals, universality
from monosem_jax.device.precision import Dot
from monosem_jax.features import moments
from monosem_jax.run.files import write_arrays
from monosem_jax.stages import programs
from monosem_jax.stages.analysis.bench import (
  Bench,
  Subject,
  Unavailable,
  median,
  part,
)
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.sections import kinds

_KINDS = ('activation', 'logits', 'attribution')
# Pairs that are listed.
_LISTED = 20


def make(bench: Bench, out: pathlib.Path) -> dict:
  values, numbers = {}, {}
  tokens = [0, 0]
  for name, (x, y) in _asked(bench).items():
    found, tokens = _nearest(bench, name, x, y)
    pairs = _pairs(bench, name, x, y, found)
    numbers[name] = {
      'of': x.run,
      'with': y.run,
      'median': median(pairs['live']['activation_M']),
      'interval': intervals.of(pairs['live']['activation_M']),
      'count': len(pairs['live']['activation_M']),
      'paper': paper.UNIVERSALITY.get(name),
      'sets': {
        which: _of_set(columns, int(_sets(x, y)[which][0].sum()))
        for which, columns in pairs.items()
      },
    }
    values[name] = pairs['live']['activation_M']
    if name == 'features':
      write_arrays(out / 'twins.npz', _twins(*found['live']))
      write_arrays(out / 'pairs.npz', pairs['live'])
      numbers[name] |= _listed(x, y, pairs['live'])
      _scatter(x, y, pairs['live'], tokens[1], out / 'similarities.png')
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
  return {
    'runs': {
      numbers[name]['of']: {
        'universality_r': numbers[name]['median'],
        'universality_interval': numbers[name]['interval'],
        'universality_n': numbers[name]['count'],
      }
      # Those that are compared with the same of the other model.
      for name in ('features', 'neurons', 'random directions')
      if name in numbers
    },
    'pairs': numbers,
    'interval_unit': 'features',
    'found_tokens': tokens[0],
    'tokens': tokens[1],
  }


def _asked(bench: Bench) -> dict[str, tuple[Subject, Subject]]:
  """What is compared with what; the first is what this is about."""
  main, match = bench.main, bench.match
  pairs = {'features': (main, match)}
  with contextlib.suppress(Unavailable):
    own = bench.neurons(main.model)
    pairs['neurons'] = own, bench.neurons(match.model)
    pairs['own neurons'] = main, own
  number = lambda s: s.name[len(s.model) :]
  for s in bench.subjects():
    if s.is_control and s.name.endswith('_random'):
      pairs['random directions'] = (s, match)
    shuffled = bench.w.config.models[s.model].shuffle_of and not s.is_control
    # The same run as the main one, if there is such.
    if shuffled and (
      'shuffled weights' not in pairs or number(s) == number(main)
    ):
      pairs['shuffled weights'] = (main, s)
  return pairs


def _sets(x: Subject, y: Subject) -> universality.Sets:
  """The features that are looked at, and found."""
  return {
    'live': (x.live_F, y.live_F),
    'firing': (x.table.fired_F > 0, y.table.fired_F > 0),
  }


def _blocks(
  bench: Bench,
  name: str,
  x: Subject,
  y: Subject,
  of: Callable,
  halves: tuple[int, ...],
) -> Iterator[tuple]:
  """Moments over the tokens of each half, of what `of` makes of both, for block
  after block of x.

  A pass over the tokens for each: r_XY of two large dictionaries fits nowhere.
  """
  step = _step(of, bench.dot)
  side_y = universality.side(bench.lm(y.model), y.sae)
  parts = moments.blocks(
    x.live_F.size, y.live_F.size, len(halves), bench.config.block_bytes
  )
  for i, own in enumerate(parts):
    side_x = universality.side(bench.lm(x.model), part(x.sae, own))
    line = f'universality/{name}' + (
      f' {i + 1} of {len(parts)}' if len(parts) > 1 else ''
    )
    sums = [
      moments.collect(
        step,
        (side_x, side_y),
        bench.batches(f'{line} half {half + 1}', half=half),
      )
      for half in halves
    ]
    yield own, *sums


def _nearest(bench: Bench, name: str, x: Subject, y: Subject) -> tuple:
  """By set and activations the nearest feature of y for each of x, and back;
  and the tokens on which it was found and measured."""
  tokens: list[int] = []

  def read():
    for own, *sums in _blocks(
      bench, name, x, y, universality.activations, (0, 1)
    ):
      tokens[:] = [int(m.tokens) for m in sums]
      yield own, *map(moments.correlation, sums)

  return universality.nearest(read(), _sets(x, y)), tokens


def _twins(
  near: universality.Nearest, back: universality.Nearest
) -> dict[str, np.ndarray]:
  """The nearest feature of the match for every feature, and the reverse."""
  return {
    f'{way}{name}': column
    for way, n in (('', near), ('back_', back))
    for name, column in (
      ('match_F', n.index_X.astype(np.int32)),
      ('found_F', n.found_X.astype(np.float32)),
      ('r_F', n.r_X.astype(np.float32)),
    )
  }


@functools.cache
def _step(of: Callable, dot: Dot) -> Callable:
  pair = universality.pair(
    lambda s, batch: of(programs.forward, dot, s, batch[0])
  )
  return moments.make_step(pair, dot)


def _pairs(
  bench: Bench, name: str, x: Subject, y: Subject, found: Mapping
) -> dict[str, dict[str, np.ndarray]]:
  """By set, the pairs of its features and their similarities.

  Attributions are of the half on which pairs were not looked for.
  """
  pairs = {}
  for which, (own_X, _) in _sets(x, y).items():
    near = found[which][0]
    i_M = np.flatnonzero(own_X & (near.index_X >= 0))
    j_M = near.index_X[i_M]
    pairs[which] = {
      'feature_M': i_M,
      'match_M': j_M,
      'found_M': near.found_X[i_M],
      'activation_M': near.r_X[i_M],
      'logits_M': universality.logit_correlation(
        (bench.lm(x.model), x.sae.W_dec_FA[i_M]),
        (bench.lm(y.model), y.sae.W_dec_FA[j_M]),
      ),
      'attribution_M': np.zeros(i_M.size, np.float32),
    }
  line = f'{name}, attributions'
  for own, sums in _blocks(bench, line, x, y, universality.attributions, (1,)):
    r_nY = moments.correlation(sums)
    for columns in pairs.values():
      i_M = columns['feature_M']
      mine_M = (i_M >= own.start) & (i_M < own.stop)
      at = i_M[mine_M] - own.start, columns['match_M'][mine_M]
      columns['attribution_M'][mine_M] = r_nY[at]
  return pairs


def _of_set(columns: Mapping[str, np.ndarray], features: int) -> dict:
  """Medians of a set's pairs with their intervals over features."""
  r_M, logits_M = columns['activation_M'], columns['logits_M']
  alike_M = r_M > universality.ALIKE
  return {
    'n': len(r_M),
    'without': features - len(r_M),
    'median_found': median(columns['found_M']),
    **{
      f'{what}_{k}': of(columns[f'{k}_M'])
      for k in _KINDS
      for what, of in (('median', median), ('interval', intervals.of))
    },
    'alike': int(alike_M.sum()),
    'alike_but_apart': int((alike_M & (logits_M < universality.APART)).sum()),
  }


def _listed(x: Subject, y: Subject, columns: Mapping[str, np.ndarray]) -> dict:
  """The pairs most alike, and those alike where they fire alone."""
  pair = lambda m: {
    'feature': f'{x.run}/{columns["feature_M"][m]}',
    'match': f'{y.run}/{columns["match_M"][m]}',
    'density': float(x.table.density_F[columns['feature_M'][m]]),
    **{k: float(columns[f'{k}_M'][m]) for k in ('found', *_KINDS)},
  }
  r_M, logits_M = columns['activation_M'], columns['logits_M']
  apart_M = (r_M > universality.ALIKE) & (logits_M < universality.APART)
  falling = np.argsort(logits_M - r_M, kind='stable')
  return {
    **{
      f'median_{k}': median(columns[f'{k}_M']) if len(r_M) else None
      for k in _KINDS
    },
    'nearest': [pair(m) for m in np.argsort(-r_M)[:_LISTED]],
    'alike_above': universality.ALIKE,
    'apart_below': universality.APART,
    'outliers': [pair(m) for m in falling if apart_M[m]][:_LISTED],
    'attribution_follows_activation': _r(columns, 'attribution'),
    'logits_follow_activation': _r(columns, 'logits'),
  }


def _scatter(x: Subject, y: Subject, columns, tokens: int, path) -> None:
  figures.scatter(
    path,
    {
      'attribution': (columns['activation_M'], columns['attribution_M']),
      'logit weights': (columns['activation_M'], columns['logits_M']),
    },
    f'Live features of {x.run} and the nearest of {y.run} by activations, '
    f'found on one half of the documents, over {tokens:,} tokens of the other.',
    'correlation of activations',
    'correlation of attributions, or of logit weights',
    line=True,
  )


def _r(columns: Mapping[str, np.ndarray], key: str) -> float | None:
  a, b = columns['activation_M'], columns[f'{key}_M']
  if len(a) < 2 or not (np.ptp(a) and np.ptp(b)):
    return None
  return float(np.corrcoef(a, b)[0, 1])


ANALYSIS = Analysis(
  order=100,
  make=make,
  title='Universality',
  asked='Has another model, from another seed, the same features?',
  answer=kinds.universality,
  picture='nearest.png',
  view='universality',
)
