"""Sections on proxies, universality, splitting and geometry."""

from monosem_jax.analysis.results.geometry import Geometry
from monosem_jax.analysis.results.numbers import Reason
from monosem_jax.analysis.results.proxies import Overlap, Proxies
from monosem_jax.analysis.results.splitting import Absent, Splitting
from monosem_jax.analysis.results.universality import Universality
from monosem_jax.stages.analysis.sections.form import between, figure, rows


def proxies(n: Proxies, main: str) -> list[str]:
  wins = rows(
    'features against neurons | of so many | above | clearly above | clearly '
    'below',
    *(
      [
        f'{kind}, by {_MEASURES[measure]}',
        f'{own.n:,}',
        f'{own.above:,}',
        f'{own.clearly_above:,}',
        f'{own.clearly_below:,}',
      ]
      for kind, by in n.wins.items()
      if not isinstance(by, Reason)
      for measure, own in by.items()
    ),
  )
  why = {by.reason for by in n.wins.values() if isinstance(by, Reason)}
  dives = rows(
    'proxy | share of tokens | feature | r | of its activation on the proxy | '
    'finds | neuron | r | of its activation on the proxy | finds',
    *(
      [name, f'{dive.base_rate:.2%}']
      + [
        cell
        for of, number in (
          (main, dive.feature),
          (f'{main.partition("/")[0]}/neurons', dive.neuron),
        )
        for cell in _overlap(dive.overlap.get(of), number)
      ]
      for name, dive in n.dives.items()
    ),
  )
  return [
    *wins,
    '',
    *(f'Not compared: {reason}.\n' for reason in sorted(why)),
    'Clearly: the interval of the difference, paired over groups of documents, '
    'leaves out 0. AUC is foregone against sparse features, which are silent '
    'on most tokens.',
    '',
    *dives,
    '',
    'Each is chosen on one half of the documents and told of the other; '
    'intervals are over groups of documents.',
  ]


_MEASURES = {
  'r': 'correlation',
  'auc': 'AUC',
  'average_precision': 'average precision',
  'f1': 'best F1',
}


def _overlap(own: Overlap | None, number: str | None) -> list[str]:
  if own is None:
    return ['-'] * 4
  return [
    number or '-',
    figure(own.r, '.2f', own.r_interval),
    figure(own.activation_on, '.0%', own.activation_on_interval),
    figure(own.sensitivity, '.0%', own.sensitivity_interval),
  ]


def universality(n: Universality, main: str) -> list[str]:
  table = rows(
    'of | with | n live | median r | n firing | median r | logit weights | '
    'attribution',
    *(
      [
        pair.name,
        pair.other,
        f'{live.n:,}',
        figure(live.median_activation, '.2f', live.interval_activation),
        f'{firing.n:,}',
        figure(firing.median_activation, '.2f', firing.interval_activation),
        figure(live.median_logits, '.2f', live.interval_logits),
        figure(live.median_attribution, '.2f', live.interval_attribution),
      ]
      for pair in n.pairs.values()
      for live, firing in [(pair.sets['live'], pair.sets['firing'])]
    ),
  )
  own = n.pairs['features']
  said = (
    'The nearest feature is found on one half of the documents, and r is of '
    'the other.'
  )
  if own.listed:
    said += (
      f' Of the live ones {own.sets["live"].alike_but_apart:,} match above '
      f'{own.listed.alike_above:g} in activation and below '
      f'{own.listed.apart_below:g} in logit weights.'
    )
  return [*table, '', said]


def splitting(n: Splitting, main: str) -> list[str]:
  starts = {'base64': n.base64} | {s.start: s for s in n.most}
  lines = []
  for name, own in starts.items():
    if isinstance(own, Absent):
      lines += [f'- {name}: {own.absent}']
      continue
    for of, count in own.counts.items():
      null = own.null.counts.get(of, {})
      steps = ', '.join(f'{k.replace("_", " ")} {x}' for k, x in count.items())
      last = list(null.values())[-1] if null else None
      beside = ''
      if last and last.mean is not None:
        beside = (
          f'; {last.n} starts as dense have {last.mean:.1f}'
          f'{between(last.interval, ".1f")}, {last.max} at most'
        )
      lines += [f'- {name} ({own.start}) in {of}: {steps}{beside}']
  return [
    'How many features of the larger dictionary a feature leads to, filter by '
    f'filter (density above {n.floor:g}, purity above {n.purity:g}); '
    'chosen on one half of the documents, counted on the other:',
    '',
    *lines,
  ]


def geometry(n: Geometry, main: str) -> list[str]:
  own = n.agreement
  found, random = own.found, own.random_rows
  trust = [
    f'- trustworthiness of the layout `{name}`: {t.value:.2f}'
    f'{between(t.interval, ".2f")}, of shuffled positions '
    f'{t.random_layout.mean:.2f}'
    for name, t in n.trustworthiness.items()
  ]
  return [
    *rows(
      'decoder rows | rank correlation with correlations of activations | '
      f'{found.neighbours} nearest in common',
      [
        f'{own.name}, {own.features:,} live',
        figure(found.spearman, '.2f', found.spearman_interval),
        figure(found.overlap, '.2f', found.overlap_interval),
      ],
      [
        'random directions in their place',
        f'{random.spearman.mean:.3f}',
        f'{random.overlap.mean:.3f}',
      ],
    ),
    '',
    *trust,
  ]
