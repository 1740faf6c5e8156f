"""Sections on effects of features: on the loss, the next token, and texts."""

from monosem_jax.analysis.results.automata import Automata
from monosem_jax.analysis.results.features import Ablation
from monosem_jax.analysis.results.preserved import (
  Preserved,
  Refused,
  SetPreserved,
)
from monosem_jax.analysis.results.steering import (
  Share,
  SteeredFeature,
  Steering,
)
from monosem_jax.stages.analysis.sections.form import between, figure, rows


def preserved(n: Preserved, main: str) -> list[str]:
  table = rows(
    'run | what it is | L0 | loss recovered | explained variance | '
    f'{main} recovers more by',
    *(
      [name, own.kept.what, *_recovered(own), _margin(own)]
      for name, own in (n.sets | n.about_means).items()
    ),
  )
  return [*table, '', f'Intervals are {n.interval}.']


def _recovered(own: SetPreserved) -> list[str]:
  """Returns L0, loss recovered and explained variance."""
  found = own.found
  if isinstance(found, Refused):
    return ['-', found.loss_recovered_reason, '-']
  whole = found.whole
  return [
    figure(whole.l0, '.1f', found.l0_interval),
    figure(
      whole.loss_recovered,
      '.1%',
      found.loss_recovered_interval,
      whole.loss_recovered_reason,
    ),
    figure(whole.explained_variance, '.1%', found.explained_variance_interval),
  ]


def _margin(own: SetPreserved) -> str:
  if own.margin is None:
    return '-'
  return figure(own.margin.margin, '.1%', own.margin.margin_interval)


def ablation(n: Ablation, main: str) -> list[str]:
  table = rows(
    'run | examples | loss rise, nats | share above 0',
    *(
      [
        name,
        f'{own.ablation_examples:,}',
        figure(own.ablation_loss, '.3f', own.ablation_loss_interval),
        figure(own.ablation_hurts, '.0%', own.ablation_hurts_interval),
      ]
      for name, own in n.sets.items()
    ),
  )
  return [*table, '', 'Intervals are over features.']


def steering(n: Steering, main: str) -> list[str]:
  table = rows(
    'proxy | feature | at its maximum | neuron, same KL | difference of means, '
    'same KL | random features, same KL | unpinned',
    *(
      [name, own.feature, *_shares(name, own)]
      for name, own in n.features.items()
    ),
  )
  ahead = [
    f'- against {_ARMS.get(arm, arm)}: ahead for {a.ahead} of '
    f'{a.features}, behind for {a.behind}, mean lead '
    f'{a.mean_lead:+.3f}{between(a.interval, "+.3f")}'
    for arm, a in n.ahead.items()
    if a.mean_lead is not None
  ]
  return [
    *table,
    '',
    f'Share of {n.samples} samples of {n.tokens} tokens on which the '
    'proxy is on. At equal KL:',
    '',
    *ahead,
    '',
    'What is said: '
    + ', '.join(f'[{x}](analysis/steering/{x}.md)' for x in n.features),
  ]


_ARMS = {
  'neuron': 'the best neuron',
  'difference': 'the difference of means',
  'control': 'random features',
}


def _shares(name: str, own: SteeredFeature) -> list[str]:
  """Returns the share of a proxy's tokens at the feature's maximum, by arm."""
  at = own.at_maximum
  if at is None:
    return ['-'] * (2 + len(_ARMS))
  unpinned = own.share[name]['unpinned'].mean
  return [
    _share_of(at.share.get('pinned')),
    *(_share_of(at.share_at_equal_kl.get(arm)) for arm in _ARMS),
    figure(unpinned if isinstance(unpinned, float) else None, '.0%'),
  ]


def _share_of(x: Share | None) -> str:
  if x is None:
    return '-'
  low, high = x.interval
  ends = None if low is None or high is None else (low, high)
  return figure(x.mean, '.0%', ends)


def automata(n: Automata, main: str) -> list[str]:
  found = rows(
    'kind | features | found | permuted: mean | least to most | survive | '
    'permuted in labels: mean | least to most | survive both',
    *(
      [
        row.kind,
        f'{row.features}' if row.features else 'any',
        f'{row.found:,}',
        f'{row.null_mean:,.1f}',
        f'{row.null_min:,} to {row.null_max:,}',
        f'{row.surviving:,}',
        f'{row.within_mean:,.1f}',
        f'{row.within_min:,} to {row.within_max:,}',
        f'{row.surviving_within:,}',
      ]
      for row in n.null
    ),
  )
  edges = rows(
    'edges | of so many | rise in held-out text | observed, median | base rate',
    *(
      [
        name,
        f'{own.edges:,}',
        f'{own.rising:,}',
        figure(own.median_observed, '.3f'),
        figure(own.median_base, '.3f'),
      ]
      for name, own in n.transitions.items()
    ),
  )
  named = [
    f'- {own.name}: '
    + ('survives' if own.survives else f'not found: {own.not_found}')
    for own in n.named
  ]
  return [
    *found,
    '',
    f'Found: edges of a predicted gain above {n.threshold:g}. The null '
    f'permutes whose logit weights are whose, {n.permutations} times; '
    f'survivors have a false discovery rate below {n.q:g} '
    '(Benjamini-Hochberg). Features of one kind of text lead to each other '
    'anyway, and that null breaks this; the other permutes among features of '
    'one label alone, and keeps it: '
    f'{sum(n.surviving_within.values()):,} of '
    f'{sum(n.surviving.values()):,} survivors survive that, too. '
    f'{sum(n.ordered.values()):,} survivors have an order in held-out text, '
    'the others are sets that lead to each other both ways.',
    '',
    *edges,
    '',
    *named,
  ]
