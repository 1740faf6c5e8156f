"""How features split in larger dictionaries; `analysis.splitting`.

The dictionaries are those of the main one's model that differ from it in size
alone. The worked example is the paper's: base64.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

from monosem_jax.analysis import figures, labels, splitting
from monosem_jax.features import moments
from monosem_jax.files import write_arrays
from monosem_jax.stages.analysis.bench import (
  Bench,
  NotHere,
  Subject,
  activations,
  of_two,
  part,
)
from monosem_jax.stages.analysis.labelled import Labelled
from monosem_jax.stages.analysis.words import described

# Features of one dictionary that are drawn, at most.
_DRAWN = 12


def make(bench: Bench, out: pathlib.Path) -> dict:
  growing = bench.growing()
  if len(growing) < 2:
    raise NotHere(
      f'no other size of {bench.main.run}: add a dictionary that differs from '
      'it in features alone'
    )
  levels, steps = {}, []
  for x, y in itertools.pairwise(growing):
    found = levels[x.name, y.name] = _edges(bench, x, y)
    write_arrays(out / f'{x.name}_{y.name}.npz', dataclasses.asdict(found))
    counts = splitting.summary(found, x.live_F, y.live_F)
    steps.append({'from': x.run, 'to': y.run, **dataclasses.asdict(counts)})
  live = {s.name: s.live_F for s in growing}
  components = splitting.components(levels, live)
  sizes = np.array([len(nodes) for nodes in components])
  figures.histogram(
    out / 'components.png',
    {' to '.join((growing[0].run, growing[-1].run)): np.log10(sizes)},
    f'Connected components of live features joined by a masked cosine above '
    f'{bench.config.splitting.threshold:g}, {bench.tokens:,} tokens.',
    'log10 of the features of a component',
    'share of components',
  )
  return {
    'dictionaries': [s.run for s in growing],
    'threshold': bench.config.splitting.threshold,
    'tokens': bench.tokens,
    'steps': steps,
    'components': int(sizes.size),
    'largest': sizes[:10].tolist(),
    'base64': _example(bench, growing, levels, 'base64', out),
  }


def _edges(bench: Bench, x: Subject, y: Subject) -> splitting.Edges:
  """The edges between two dictionaries, by blocks of the first.

  A pass over the tokens for each: the similarities of two large dictionaries
  fit nowhere.
  """
  step = moments.make_step(of_two(bench.dot), bench.dot, masked=True)
  found = []
  for own in moments.blocks(
    x.live_F.size, y.live_F.size, 3, bench.config.block_bytes
  ):
    sums = moments.collect(
      step,
      (bench.lm(x.model), part(x.sae, own), y.sae),
      bench.batches(f'splitting/{x.name}-{y.name}'),
    )
    edges = splitting.edges(
      moments.masked_cosine(sums),
      x.live_F[own],
      y.live_F,
      bench.config.splitting.threshold,
    )
    found.append(
      dataclasses.replace(edges, source_M=edges.source_M + own.start)
    )
  columns = (f.name for f in dataclasses.fields(splitting.Edges))
  return splitting.Edges(
    *(np.concatenate([getattr(e, name) for e in found]) for name in columns)
  )


def _example(
  bench: Bench, growing: list[Subject], levels: dict, label: str, out
) -> dict:
  """Which features the best one of a label leads to, and how they divide it."""
  labelled = Labelled(bench, bench.config.split)
  if label not in labelled.proxy_names:
    return {'absent': labelled.proxies.absent[label]}
  k = labelled.proxy_names.index(label)
  first = growing[0]
  r_F = _with_label(bench, first, labelled, k)
  start = int(np.where(first.live_F, r_F, -1).argmax())
  order = [s.name for s in growing]
  reached = splitting.descendants((first.name, start), order, levels)
  nodes = {
    s.name: sorted(
      reached.get(s.name, ()), key=lambda i, s=s: -s.table.fired_F[i]
    )[:_DRAWN]
    for s in growing
  }
  share = {
    s.name: _share(bench, s, labelled, k, nodes[s.name]) for s in growing
  }
  _draw(bench, growing, levels, nodes, out / f'{label}.png', label)
  return {
    'start': f'{first.run}/{start}',
    'correlation': float(r_F[start]),
    'features': {
      s.run: [
        {
          'feature': f'{s.run}/{i}',
          'density': float(s.table.density_F[i]),
          **described(bench, s, i),
          **share[s.name][i],
        }
        for i in nodes[s.name]
      ]
      for s in growing
    },
    'reached': {s.run: len(reached.get(s.name, ())) for s in growing},
  }


def _with_label(bench: Bench, s: Subject, labelled: Labelled, k: int):
  of = activations(bench.dot)
  step = moments.make_step(
    lambda args, batch: (
      of(args, batch),
      batch[1].reshape(-1, 1).astype(np.float32),
    ),
    bench.dot,
  )
  found = moments.collect(
    step,
    (bench.lm(s.model), s.sae),
    bench.batches(
      f'splitting/{s.name}',
      lambda tokens_BT, _: (labelled.on(tokens_BT)[..., k],),
    ),
  )
  return moments.correlation(found)[:, 0]


def _share(bench: Bench, s: Subject, labelled, k: int, features: list[int]):
  """How much of the label each of some features finds, and how purely."""
  if not features:
    return {}
  of = activations(bench.dot)
  chosen = np.array(features)

  def pair(args, batch):
    f_NK = of(args, batch)[:, chosen]
    on_N1 = batch[1].reshape(-1, 1)
    return f_NK, np.ones((1, chosen.size), bool) & on_N1

  edges_KI = np.zeros((chosen.size, 1), np.float32)
  overlap = moments.collect(
    labels.make_step(pair, edges_KI),
    (bench.lm(s.model), s.sae),
    bench.batches(
      f'splitting/{s.name}',
      lambda tokens_BT, _: (labelled.on(tokens_BT)[..., k],),
    ),
  )
  finds_K, _ = labels.sensitivity(overlap)
  pure_K = labels.specificity(overlap)[:, 1]
  return {
    i: {'finds': float(finds), 'pure': float(pure)}
    for i, finds, pure in zip(features, finds_K, pure_K, strict=True)
  }


def _draw(bench, growing, levels, nodes, path, label) -> None:
  at, labels_, edges = {}, {}, []
  for column, s in enumerate(growing):
    own = nodes[s.name]
    for row, i in enumerate(own):
      key = f'{s.name}/{i}'
      at[key] = (
        column / (len(growing) - 1),
        1 - (row + 0.5) / max(len(own), 1),
      )
      tokens = described(bench, s, i)['fires_on'][:4]
      labels_[key] = f'{s.run}/{i}\n' + ' '.join(map(repr, tokens))
  for x, y in itertools.pairwise(growing):
    level = levels[x.name, y.name]
    for i, j, weight in zip(
      level.source_M, level.target_M, level.similarity_M, strict=True
    ):
      if f'{x.name}/{i}' in at and f'{y.name}/{j}' in at:
        edges.append((f'{x.name}/{i}', f'{y.name}/{j}', float(weight)))
  tallest = max(map(len, nodes.values()))
  figures.graph(
    path,
    at,
    edges,
    f'What the {label} feature of {growing[0].run} splits into: the features '
    'that fire most, with the tokens that lead their top examples; arrows by '
    f'masked cosine similarity over {bench.tokens:,} tokens.',
    labels_,
    size=(9.0, max(4.0, 0.55 * tallest)),
  )
