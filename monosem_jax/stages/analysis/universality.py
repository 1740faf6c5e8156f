"""Whether another model has the same features; `analysis.universality`.

Features of the main dictionary against those of its match, and beside that
neurons against neurons, features against their own neurons, and controls.
"""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from monosem_jax import paper
from monosem_jax.analysis import figures, universality
from monosem_jax.features import moments
from monosem_jax.files import write_arrays
from monosem_jax.precision import Dot
from monosem_jax.stages import programs
from monosem_jax.stages.analysis.bench import Bench, NotHere, Subject, part


def make(bench: Bench, out: pathlib.Path) -> dict:
  main, match = bench.main, bench.match
  pairs = {'features': (main, match)}
  with contextlib.suppress(NotHere):
    own = bench.neurons(main.model)
    pairs['neurons'] = own, bench.neurons(match.model)
    pairs['own neurons'] = main, own
  for s in bench.subjects():
    if s.is_control and s.name.endswith('_random'):
      pairs['random directions'] = (s, match)
    elif not s.is_control and bench.w.config.models[s.model].shuffle_of:
      pairs['shuffled weights'] = (main, s)
  found, numbers = {}, {}
  for name, (x, y) in pairs.items():
    near, back = _nearest(bench, name, x, y)
    found[name] = near.r_X[x.live_F & (near.index_X >= 0)]
    numbers[name] = {
      'of': x.run,
      'with': y.run,
      'median': near.median(x.live_F),
      'count': int(found[name].size),
      'paper': paper.UNIVERSALITY.get(name),
    }
    if name == 'features':
      write_arrays(out / 'twins.npz', _twins(near, back))
      rest = _other_similarities(bench, x, y, near, out)
      numbers[name] |= rest
  figures.histogram(
    out / 'nearest.png',
    found,
    f'Of each live feature the nearest of the other set, by the correlation of '
    f'activations over {bench.tokens:,} tokens; in brackets how many. The '
    "paper's medians: "
    + ', '.join(f'{k} {r:.2f}' for k, r in paper.UNIVERSALITY.items())
    + '.',
    'Pearson correlation with the nearest',
    bins=np.linspace(-0.1, 1, 56),
  )
  return {
    'runs': {main.run: {'universality_r': numbers['features']['median']}}
    | (
      {
        f'{main.model}/neurons': {
          'universality_r': numbers['neurons']['median']
        }
      }
      if 'neurons' in numbers
      else {}
    ),
    'pairs': numbers,
    'tokens': bench.tokens,
  }


def _blocks(
  bench: Bench, name: str, x: Subject, y: Subject, of: Callable
) -> Iterator[tuple[slice, np.ndarray]]:
  """r_nY over tokens, of what `of` makes of both, for block after block of x.

  A pass over the tokens for each: r_XY of two large dictionaries fits nowhere.
  """
  step = _step(of, bench.dot)
  side_y = universality.side(bench.lm(y.model), y.sae)
  parts = moments.blocks(
    x.live_F.size, y.live_F.size, 1, bench.config.block_bytes
  )
  for i, own in enumerate(parts):
    side_x = universality.side(bench.lm(x.model), part(x.sae, own))
    line = f'universality/{name}' + (
      f' {i + 1} of {len(parts)}' if len(parts) > 1 else ''
    )
    sums = moments.collect(step, (side_x, side_y), bench.batches(line))
    yield own, moments.correlation(sums)


def _nearest(
  bench: Bench, name: str, x: Subject, y: Subject
) -> tuple[universality.Nearest, universality.Nearest]:
  """By activations the nearest feature of y for each of x, and back."""
  return universality.nearest(
    _blocks(bench, name, x, y, universality.activations), x.live_F, y.live_F
  )


def _twins(
  near: universality.Nearest, back: universality.Nearest
) -> dict[str, np.ndarray]:
  """Of all features, live or not: the nearest of the match, and from there."""
  return {
    f'{way}{name}': column
    for way, n in (('', near), ('back_', back))
    for name, column in (
      ('match_F', n.index_X.astype(np.int32)),
      ('r_F', n.r_X.astype(np.float32)),
    )
  }


@functools.cache
def _step(of: Callable, dot: Dot) -> Callable:
  pair = universality.pair(
    lambda s, batch: of(programs.forward, dot, s, batch[0])
  )
  return moments.make_step(pair, dot)


def _other_similarities(
  bench: Bench,
  x: Subject,
  y: Subject,
  near: universality.Nearest,
  out: pathlib.Path,
) -> dict:
  """The pairs themselves, with their logit weights and attributions."""
  own_X = x.live_F & (near.index_X >= 0)
  i_M = np.flatnonzero(own_X)
  j_M = near.index_X[i_M]
  columns = {
    'feature_M': i_M,
    'match_M': j_M,
    'activation_M': near.r_X[i_M],
    'logits_M': universality.logit_correlation(
      (bench.lm(x.model), x.sae.W_dec_FA[i_M]),
      (bench.lm(y.model), y.sae.W_dec_FA[j_M]),
    ),
    'attribution_M': np.concatenate(
      [
        a_nY[i_M[mine] - own.start, j_M[mine]]
        for own, a_nY in _blocks(
          bench, 'attribution', x, y, universality.attributions
        )
        for mine in [(i_M >= own.start) & (i_M < own.stop)]
      ]
    ),
  }
  write_arrays(out / 'pairs.npz', columns)
  figures.scatter(
    out / 'similarities.png',
    {
      'attribution': (columns['activation_M'], columns['attribution_M']),
      'logit weights': (columns['activation_M'], columns['logits_M']),
    },
    f'Live features of {x.run} and the nearest of {y.run} by activations.',
    'correlation of activations',
    'correlation of attributions, or of logit weights',
    line=True,
  )
  order = np.argsort(-columns['activation_M'])
  gap = columns['activation_M'] - columns['logits_M']
  pair = lambda m: {
    'feature': f'{x.run}/{i_M[m]}',
    'match': f'{y.run}/{j_M[m]}',
    **{k: float(columns[f'{k}_M'][m]) for k in _KINDS},
  }
  medians = {
    f'median_{k}': float(np.median(columns[f'{k}_M'])) if len(i_M) else None
    for k in _KINDS
  }
  return medians | {
    'nearest': [pair(m) for m in order[:20]],
    # Alike where they fire, unlike in what they predict: the paper has one.
    'outliers': [pair(m) for m in np.argsort(-gap)[:10]],
    'attribution_follows_activation': _r(columns, 'attribution'),
    'logits_follow_activation': _r(columns, 'logits'),
  }


_KINDS = ('activation', 'logits', 'attribution')


def _r(columns: dict, key: str) -> float | None:
  a, b = columns['activation_M'], columns[f'{key}_M']
  if len(a) < 2 or not (np.ptp(a) and np.ptp(b)):
    return None
  return float(np.corrcoef(a, b)[0, 1])
