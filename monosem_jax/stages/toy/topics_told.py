"""Reports the experiment on topics: a table, a line, pictures."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monosem_jax.analysis import figures, topics
from monosem_jax.config import settings

Rows = Sequence[Mapping[str, Any]]

# The columns of the table: key, label, format.
COLUMNS = (
  ('loss', 'loss, nats', '.3f'),
  ('kept', 'kept of what was learned', '.0%'),
  ('live', 'live units', ','),
  ('purity', 'purity', '.2f'),
  ('purity_shuffled', '... dealt out at random', '.2f'),
  ('purity_lead', '... above that', '.2f'),
  ('active', 'units firing at a token', '.1f'),
  ('silent', 'tokens without any', '.0%'),
)


def written(table: Rows) -> str:
  """Returns the table in Markdown, each row with its shuffled control."""
  labels = [label for _, label, _ in COLUMNS]
  lines = ['| | ' + ' | '.join(labels) + ' |', '|---|' + '---:|' * len(labels)]
  for row in table:
    cells = [
      '-' if row[k] is None else format(row[k], f) for k, _, f in COLUMNS
    ]
    name = _name(row) + (' (chosen)' if row['chosen'] else '')
    lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
  return '\n'.join([*lines, ''])


def said(
  c: settings.Topics,
  best: Mapping[str, int | None],
  numbers: Mapping[str, Any],
) -> str:
  """Returns a line: the chosen rows and the row without a penalty."""
  table, budgets = numbers['table'], numbers['budgets']

  def of(kind: str) -> str:
    if best[kind] is None:
      return f'no {kind} keep {c.kept:.0%} of what was learned'
    row = table[best[kind]]
    return (
      f'{_name(row)}: loss {row["loss"]:.3f}, purity {_text(row["purity"])} '
      f'({_text(row["purity_shuffled"])} with units dealt out at random), '
      f'{row["silent"]:.0%} of tokens silent'
    )

  own, other = budgets['neurons'], budgets['dictionary']
  rows = [
    f'no penalty: loss {table[0]["loss"]:.3f}, purity '
    f'{_text(table[0]["purity"])} ({_text(table[0]["purity_shuffled"])})',
    of('neurons'),
    of('dictionary'),
  ]
  return (
    '; '.join(rows)
    + f'. Over {c.seeds} seeds, purity above chance and silent tokens, mean '
    f'(least to most): {_ranges(numbers["seeds"])}. '
    f'Chosen of {len(c.penalties)} penalties each by one rule on other '
    f'text; a transformer of {own["parameters"]:,} parameters saw '
    f'{own["tokens"]:,} tokens, a dictionary of {other["parameters"]:,} then '
    f'{other["tokens"]:,} activations'
  )


def _ranges(seeds: Mapping[str, Any]) -> str:
  def of(values: list[float | None], form: str) -> str:
    own = [x for x in values if x is not None]
    if not own:
      return 'none'
    ends = f'{min(own):{form}} to {max(own):{form}}'
    return f'{np.mean(own):{form}} ({ends})'

  return '; '.join(
    f'{kind} {of(seeds[kind]["purity_lead"], ".2f")}, '
    f'{of(seeds[kind]["silent"], ".0%")}'
    for kind in ('neurons', 'dictionary')
  )


def _name(row: Mapping[str, Any]) -> str:
  if row['of'] == 'dictionary':
    return f'dictionary, l1 {row["penalty"]:g}'
  return f'penalty {row["penalty"]:g}' if row['penalty'] else 'no penalty'


def _text(share: float | None) -> str:
  return 'of no unit' if share is None else f'{share:.2f}'


def draw(c: settings.Topics, table: Rows, out: pathlib.Path) -> None:
  tokens = c.eval_contexts * (c.context - 2)
  what = (
    f'A one-layer transformer of {c.d_mlp} neurons on {c.topics} topics x '
    f'{c.words} words, trained at each penalty, and dictionaries of '
    f'{c.features} features on the one without; on {tokens:,} tokens. '
  )
  number = lambda key: np.array(
    [np.nan if row[key] is None else row[key] for row in table]
  )
  names = [_name(row) for row in table]
  figures.bars(
    out / 'purity.png',
    names,
    {
      'purity': number('purity'),
      '... of units dealt out at random': number('purity_shuffled'),
      'tokens at which no unit fires': number('silent'),
    },
    what + "Purity: the share of a unit's activation that lies on one topic, "
    'word or successor, median over live units.',
    'units',
    'share',
  )
  first = len(c.penalties)
  kinds = {
    'neurons': slice(None, first),
    'dictionaries': slice(first, None),
  }
  marked = [
    n + (' *' if row['chosen'] else '')
    for n, row in zip(names, table, strict=True)
  ]
  figures.scatter(
    out / 'loss.png',
    {
      kind: (number('loss')[own], number('purity')[own])
      for kind, own in kinds.items()
    }
    | {
      f'{kind}, shuffled': (
        number('loss')[own],
        number('purity_shuffled')[own],
      )
      for kind, own in kinds.items()
    },
    what + f'Who knows the language loses {topics.entropy(c):.3f}. Shuffled: '
    'their activations dealt out at random. *: the penalty chosen on other '
    'text, by one rule for both.',
    'loss (nats per word)',
    'purity, median over live units',
    names={kind: marked[own] for kind, own in kinds.items()},
  )
