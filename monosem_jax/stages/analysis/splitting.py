"""Feature splitting in larger dictionaries; see `analysis.splitting`.

The dictionaries are the main one and those that differ from it only in size.
The examples are the paper's base64 feature, and three features with most
children (`stages.analysis.children`).
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from monosem_jax.analysis import figures, splitting
from monosem_jax.analysis.results.arrays import Splits
from monosem_jax.analysis.results.splitting import (
  Absent,
  Splitting,
  Start,
  Step,
)
from monosem_jax.features import moments
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.stages.analysis.children import Children, Levels
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import (
  AnalysisInputs,
  Unavailable,
  of_two,
  part,
)
from monosem_jax.stages.analysis.sections import kinds

_LABEL = 'base64'


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Splitting:
  growing, c = inputs.growing(), inputs.config.splitting
  if len(growing) < 2:
    raise Unavailable(
      f'no other size of {inputs.main.name}: add a dictionary that differs '
      'from it in features alone'
    )
  halves: tuple[dict, dict] = {}, {}
  levels, steps = {}, []
  for x, y in itertools.pairwise(growing):
    name = x.key, y.key
    halves[0][name], halves[1][name], found, tokens = _edges(inputs, x, y)
    levels[name] = found
    found.save(out / f'{x.key}_{y.key}.npz')
    counts = splitting.summary(found, x.live_F, y.live_F)
    steps.append(Step(x.name, y.name, counts))
  live = {s.key: s.live_F for s in growing}
  components = splitting.components(levels, live)
  sizes = np.array([len(nodes) for nodes in components])
  figures.histogram(
    out / 'components.png',
    {' to '.join((growing[0].name, growing[-1].name)): np.log10(sizes)},
    f'Connected components of live features joined by a masked cosine above '
    f'{c.threshold:g}, {tokens:,} tokens.',
    'log10 of the features of a component',
    'share of components',
  )
  children = Children(inputs, growing, halves, _LABEL)
  example: Start | Absent
  if children.absent is None:
    example = children.of_label()
    _draw(growing, halves[1], example, out / f'{_LABEL}.png')
  else:
    example = Absent(children.absent)
  most = children.most()
  _bars(growing[-1].name, example, most, c.purity, out / 'children.png')
  return Splitting(
    dictionaries=[s.name for s in growing],
    threshold=c.threshold,
    tokens=tokens,
    steps=steps,
    components=int(sizes.size),
    largest=sizes[:10].tolist(),
    floor=c.floor,
    purity=c.purity,
    half_tokens=[half.tokens for half in children.halves],
    held_out_tokens=children.held_out[0],
    base64=example,
    most=most,
  )


def _edges(
  inputs: AnalysisInputs, x: LoadedSet, y: LoadedSet
) -> tuple[Splits, Splits, Splits, int]:
  """Returns the edges between two dictionaries, and the number of tokens.

  The edges are those on each half of the documents, and on both halves. Each
  block of the first dictionary takes a pass over the tokens, since the
  similarities of two large dictionaries do not fit in memory.
  """
  step = moments.make_step(of_two(inputs.dot), inputs.dot, masked=True)
  found: list[list[Splits]] = [[], [], []]
  for own in moments.blocks(
    # Three matrices of each half.
    *(x.live_F.size, y.live_F.size, 6, inputs.config.block_bytes)
  ):
    halves = [
      moments.collect(
        step,
        (inputs.lm(x.model), part(x.sae, own), y.sae),
        inputs.batches(f'splitting/{x.key}-{y.key} half {h + 1}', half=h),
      )
      for h in (0, 1)
    ]
    both = jax.tree.map(np.add, *halves)
    for kept, sums in zip(found, (*halves, both), strict=True):
      edges = splitting.edges(
        moments.masked_cosine(sums),
        x.live_F[own],
        y.live_F,
        inputs.config.splitting.threshold,
      )
      kept.append(
        dataclasses.replace(edges, source_M=edges.source_M + own.start)
      )
  first, second, joined = map(_joined, found)
  return first, second, joined, int(both.tokens)


def _joined(parts: Sequence[Splits]) -> Splits:
  columns = (f.name for f in dataclasses.fields(Splits))
  return Splits(
    *(np.concatenate([getattr(e, name) for e in parts]) for name in columns)
  )


def _bars(
  name: str,
  example: Start | Absent,
  most: list[Start],
  purity: float,
  path: pathlib.Path,
) -> None:
  """Draws each start's children in the largest dictionary, and the nulls'."""
  starts = most if isinstance(example, Absent) else [example, *most]
  last = [list(x.null.counts[name].values())[-1] for x in starts]
  column = lambda values: np.array(
    [np.nan if x is None else x for x in values], float
  )
  figures.bars(
    path,
    [x.start + f' ({_LABEL})' * (x.fit is not None) for x in starts],
    {
      'children': column(x.count for x in last),
      'null starts, mean': column(x.mean for x in last),
      'null starts, most': column(x.max for x in last),
    },
    f'Features of {name} that starts of the smallest dictionary lead to, after '
    f'all filters (purity {purity:g}), beside features of like density; starts '
    'are chosen on one half of the documents, counts are of the other.',
    'start',
    'children',
  )


def _draw(
  growing: Sequence[LoadedSet],
  levels: Levels,
  example: Start,
  path: pathlib.Path,
) -> None:
  at, labels, edges = {}, {}, []
  nodes = {s.key: example.features[s.name] for s in growing}
  for column, s in enumerate(growing):
    own = nodes[s.key]
    for row, node in enumerate(own):
      key = node.feature
      at[key] = (
        column / (len(growing) - 1),
        1 - (row + 0.5) / max(len(own), 1),
      )
      mark = '' if node.child else ' (no child)'
      labels[key] = f'{key}{mark}\n' + ' '.join(
        map(repr, node.words.fires_on[:4])
      )
  for x, y in itertools.pairwise(growing):
    level = levels[x.key, y.key]
    for i, j, weight in zip(
      level.source_M, level.target_M, level.similarity_M, strict=True
    ):
      ends = f'{x.name}/{i}', f'{y.name}/{j}'
      if at.keys() >= set(ends):
        edges.append((*ends, float(weight)))
  tallest = max(map(len, nodes.values()))
  figures.graph(
    path,
    at,
    edges,
    f'What the {_LABEL} feature of {growing[0].name} leads to: children and '
    'then others, those that fire most, with the tokens that lead their top '
    'examples; arrows by masked cosine similarity on one half of the '
    'documents.',
    labels,
    size=(9.0, max(4.0, 0.55 * tallest)),
  )


ANALYSIS = Analysis(
  order=110,
  make=make,
  numbers=Splitting,
  title='Feature splitting',
  asked='What does a feature of a small dictionary become in a larger '
  'one, and is that more than what chance leads to?',
  answer=kinds.splitting,
  picture='children.png',
  view='splitting',
)
