"""Draws the effects of pinned features and their baselines."""

import pathlib

import numpy as np

from monosem_jax.analysis import figures
from monosem_jax.analysis.results.steering import SteeredFeature
from monosem_jax.config import settings

ARMS = {
  'pinned': 'the feature',
  'neuron': 'best neuron',
  'difference': 'difference of means',
  'control': 'random features',
}


def draw_at_maximum(
  rows: dict[str, SteeredFeature], path: pathlib.Path
) -> None:
  """Draws every feature and its baselines at dose 1, if that is a dose."""

  def share(row: SteeredFeature, arm: str) -> float:
    at = row.at_maximum
    own = at.share.get(arm) if at else None
    return np.nan if own is None or own.mean is None else own.mean

  figures.bars(
    path,
    list(rows),
    {
      told: np.array([share(row, arm) for row in rows.values()])
      for arm, told in ARMS.items()
    },
    'Features pinned to their maximum, and baselines that make a change of the '
    'same norm.',
    'proxy',
    'share of sampled tokens with it on',
  )


def draw(name: str, row: dict, out: pathlib.Path, c: settings.Steering) -> None:
  """Draws a feature's log-odds, share of tokens and fluency by dose."""
  what = f'{row["feature"]} pinned; at each dose all make a change of one norm'
  samples = f'{c.samples} samples of {c.tokens} tokens'
  share = f'share of sampled tokens with {name} on'
  for key, response, y, n in (
    (
      'log_odds',
      row['log_odds'],
      'log-odds of its own top 10 tokens, nats',
      f'{c.contexts} contexts',
    ),
    ('share', row['share'][name], share, samples),
    ('loss', row['loss'], 'loss of the text, nats per token', samples),
  ):
    series = dict(_arms(response))
    figures.lines(
      out / f'{name}_{key}.png',
      {ARMS[arm]: (row['doses'], e['mean']) for arm, e in series.items()},
      f'{what}; {n}. Unpinned: {response["unpinned"]["mean"]:.3g}. Bars: '
      'standard errors.',
      'pinned to, in multiples of its maximum',
      y,
      errors={ARMS[arm]: e['se'] for arm, e in series.items()},
    )
  order = np.argsort(row['doses'])
  order = order[row['doses'][order] > 0]
  if order.size:
    multiples = ', '.join(f'{c.doses[m]:g}' for m in order)
    series = dict(_arms(row['share'][name]))
    figures.lines(
      out / f'{name}_kl.png',
      {
        ARMS[arm]: (row['kl'][arm]['mean'][order], e['mean'][order])
        for arm, e in series.items()
      },
      f'{row["feature"]} pinned to {multiples} times its maximum, and changes '
      f'of the same norm; {samples}, KL on {c.contexts} contexts. Unpinned: '
      f'{row["share"][name]["unpinned"]["mean"]:.3g}. Bars: standard errors.',
      'KL of the next token from the unpinned one, nats',
      share,
      errors={ARMS[arm]: e['se'][order] for arm, e in series.items()},
      log_x=True,
    )


def _arms(response: dict) -> list:
  return [(arm, response[arm]) for arm in ARMS if arm in response]
