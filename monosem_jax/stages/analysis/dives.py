"""The deep dives: the feature of each proxy, and the neuron that is nearest.

The paper's feature deep dives, a page each, and the same for every proxy that
the corpus has; `analysis.labels`.
"""

import pathlib

import numpy as np

from monosem_jax.analysis import figures, labels
from monosem_jax.features import moments
from monosem_jax.files import write_file
from monosem_jax.stages.analysis import pages
from monosem_jax.stages.analysis.bench import (
  Bench,
  NotHere,
  Subject,
  activations,
  part,
)
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.words import described

# Intervals of activation, as the paper's pages have them.
_INTERVALS = 11


def make(
  bench: Bench,
  labelled: Labelled,
  best: dict[str, list[labels.Best | None]],
  r_XY: np.ndarray,
  out: pathlib.Path,
) -> dict:
  """The feature of each proxy, as a page with its pictures, and the neuron."""
  main, names = bench.main, labelled.proxy_names
  chosen = {k: best[main.name][k] for k in range(len(names))}
  chosen = {k: b.index for k, b in chosen.items() if b is not None}
  overlaps = {main.run: _overlaps(bench, labelled, main, chosen)}
  neurons = {}
  own = best.get(f'{main.model}_neurons')
  if own is not None:
    neurons = {k: own[k] for k in chosen if own[k] is not None}
    s, at = bench.neurons(main.model), {k: b.index for k, b in neurons.items()}
    overlaps[s.run] = _overlaps(bench, labelled, s, at)
  twins = _twins(bench, chosen)
  found = {}
  for k, i in chosen.items():
    name, b, neuron = names[k], best[main.name][k], neurons.get(k)
    numbers = {
      'feature': f'{main.run}/{i}',
      'r': b.reported,
      'r_where_found': b.found,
      'neuron': neuron and f'{main.model}/neurons/{neuron.index}',
      'neuron_r': neuron and neuron.reported,
      'share_of_tokens': labelled.proxies.share[name],
      'density': float(main.table.density_F[i]),
      'max': float(main.table.max_F[i]),
      **described(bench, main, i),
      **_predicted(labelled, k, main, i),
      'coefficients': _coefficients(main, i),
      'twin': twins.get(k),
      'companions': _companions(bench, r_XY[:, k], i),
      'overlap': {run: own[k] for run, own in overlaps.items() if k in own},
    }
    for run, overlap in numbers['overlap'].items():
      stem = name if run == main.run else f'{name}_neuron'
      _draw(bench, name, overlap, out / stem)
    write_file(out / f'{name}.md', pages.dive(name, numbers, bench).encode())
    found[name] = numbers
  return found


def _overlaps(
  bench: Bench, labelled: Labelled, s: Subject, at: dict[int, int]
) -> dict[int, dict]:
  """Of pairs of a proxy and a feature: where both are on, by interval."""
  if not at:
    return {}
  of, which, features = activations(bench.dot), list(at), list(at.values())
  largest_K = np.maximum(s.table.max_F[features], 1e-6)
  edges_KI = largest_K[:, None] * np.arange(_INTERVALS) / _INTERVALS

  def pair(args, batch):
    f_NK = of(args, batch)
    return f_NK, batch[1].reshape(f_NK.shape)

  o = moments.collect(
    labels.make_step(pair, edges_KI),
    (bench.lm(s.model), part(s.sae, np.array(features))),
    bench.batches(
      f'dives/{s.name}',
      lambda tokens_BT, _: (labelled.on(tokens_BT)[..., which],),
    ),
  )
  share_KB, (with_on_KB, with_off_KB) = (
    labels.specificity(o),
    labels.expected_value(o),
  )
  finds_K, mass_K = labels.sensitivity(o)
  return {
    k: {
      'feature': f'{s.run}/{at[k]}',
      'edges': edges_KI[n],
      'on': o.on_KB[n],
      'off': o.off_KB[n],
      'mass_on': with_on_KB[n],
      'mass_off': with_off_KB[n],
      'specificity': share_KB[n],
      'sensitivity': finds_K[n],
      'activation_on': mass_K[n],
    }
    for n, k in enumerate(at)
  }


def _draw(bench: Bench, name: str, o: dict, stem: pathlib.Path) -> None:
  """Tokens by activation, and the paper's expected value plot."""
  middle_I = o['edges'] + o['edges'][1] / 2
  for kind, on, off, y in (
    ('counts', 'on', 'off', 'tokens'),
    ('expected_value', 'mass_on', 'mass_off', 'share of the activation'),
  ):
    figures.bars(
      stem.with_name(f'{stem.name}_{kind}.png'),
      [f'{x:.2g}' for x in middle_I],
      {f'{name} on': o[on][1:], f'{name} off': o[off][1:]},
      f'{o["feature"]} on {bench.tokens:,} tokens, where it fires.',
      'activation, middle of the interval',
      y,
      stacked=True,
    )


def _twins(bench: Bench, at: dict[int, int]) -> dict[int, dict]:
  """The features of the match that correlate most with some of the main."""
  try:
    match = bench.match
  except NotHere:
    return {}
  if not at:
    return {}
  of, main = activations(bench.dot), bench.main

  def pair(args, batch):
    x, y = args
    return of(x, batch), of(y, batch)

  sides = (
    (bench.lm(main.model), part(main.sae, np.array(list(at.values())))),
    (bench.lm(match.model), match.sae),
  )
  r_KF = moments.correlation(
    moments.collect(
      moments.make_step(pair, bench.dot), sides, bench.batches('dives/twins')
    )
  )
  return {
    k: {'feature': f'{match.run}/{r_F.argmax()}', 'r': float(r_F.max())}
    for k, r_F in zip(at, r_KF, strict=True)
  }


def _companions(bench: Bench, r_F: np.ndarray, i: int) -> list[dict]:
  """Other live features of the main dictionary that go with the proxy."""
  main = bench.main
  r_F = np.where(main.live_F, r_F, -1)
  r_F[i] = -1
  return [
    {
      'feature': f'{main.run}/{j}',
      'r': float(r_F[j]),
      **described(bench, main, int(j)),
    }
    for j in np.argsort(-r_F)[:4]
  ]


def _coefficients(s: Subject, i: int) -> dict[str, float]:
  """The largest entries of a decoder row: neurons and how much of each."""
  row_A = s.rows_FA[i]
  return {str(a): float(row_A[a]) for a in np.argsort(-np.abs(row_A))[:5]}


def _predicted(labelled: Labelled, k: int, s: Subject, i: int) -> dict:
  """How many of the tokens it predicts most are on alone, by the proxy."""
  ids = s.table.logit_top_ids_FL[i].astype(np.int32)
  on = labelled.on(ids[:, None])[:, 0, k]
  return {'predicted_on': int(on.sum()), 'predicted': len(ids)}
