"""Sections on features: live ones, and differences from neurons."""

from monosem_jax.analysis.results.density import Density
from monosem_jax.analysis.results.features import (
  ExampleTexts,
  Logits,
  NearestRows,
  Neurons,
)
from monosem_jax.stages.analysis.sections.form import figure, rows


def density(n: Density, main: str) -> list[str]:
  table = rows(
    'run | features | dead | rare | low mode | live | median density, live',
    *(
      [
        name,
        f'{own.features:,}',
        f'{own.dead:,}',
        f'{own.rare:,}',
        f'{own.low_mode:,}',
        f'{own.live:,}',
        figure(own.median_density, '.1e', ends),
      ]
      for name, own, ends in (
        (name, x.census, x.median_density_interval)
        for name, x in n.sets.items()
      )
    ),
  )
  modes = n.sets[main].census.modes
  said = 'Those that fired do not lie in two modes.'
  if modes:
    said = (
      f'Split where log density and the cosine of encoder and decoder row '
      f'separate best, those that fired lie {modes.separation:.1f} standard '
      'deviations apart; from `features.modes_apart` on the lower part counts '
      'as a mode.'
    )
  return [*table, '', said, 'Intervals are over features.']


def neurons(n: Neurons, main: str) -> list[str]:
  table = rows(
    'run | n live | kurtosis, median | of random directions as dense | '
    'log ratio of the two | Spearman with density | single-token | '
    'r of best neuron, median',
    *(
      [
        name,
        f'{own.n:,}',
        figure(own.median_kurtosis, ',.0f', own.median_kurtosis_interval),
        figure(own.median_kurtosis_matched, ',.0f'),
        figure(own.kurtosis_log_ratio, '.2f', own.kurtosis_log_ratio_interval),
        figure(own.kurtosis_density_spearman, '.2f'),
        figure(own.single_token, '.0%', own.single_token_interval),
        figure(own.median_neuron_r, '.2f', own.median_neuron_r_interval),
      ]
      for name, own in n.sets.items()
    ),
  )
  return [
    *table,
    '',
    'Kurtosis restates density for the most part, so that it is read against '
    'directions that fire as often. The best neuron of a feature is found on '
    'one half of the documents, and its r is of the other. Intervals are over '
    'features.',
  ]


def neighbours(n: NearestRows, main: str) -> list[str]:
  return rows(
    'nearest decoder row in | median cosine',
    *([name, figure(cosine, '.2f')] for name, cosine in n.median[main].items()),
  )


def texts(n: ExampleTexts, main: str) -> list[str]:
  return rows(
    'run | active features of a token, mean',
    *([name, f'{own.active:.1f}'] for name, own in n.sets.items()),
  )


def logits(n: Logits, main: str) -> list[str]:
  return rows(
    'run | kurtosis of logit weights, median | skew, median | r of linear '
    'and measured effect',
    *(
      [
        name,
        figure(own.median_logit_kurtosis, '.1f'),
        figure(own.median_logit_skew, '.2f'),
        figure(own.effects.linear_r if own.effects else None, '.2f'),
      ]
      for name, own in n.sets.items()
    ),
  )
