"""The paper's figures beside a run's: one row each, none filled in by hand.

The paper's are of A/1. A row that a run cannot fill says why. Beside a figure
stand its interval (95%) and what it is of: how many features or tokens.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from monosem_jax import paper


@dataclasses.dataclass(frozen=True)
class Row:
  """One figure.

  Attributes:
    what: it is.
    paper: as published.
    run: the same of this run; None where it is not there.
    why: it is not there.
    form: how both are written, as `format` takes it.
    n: what it is of, in words.
    interval: of 95%, its ends; None where there is none.
  """

  what: str
  paper: float | str
  run: float | str | None
  why: str
  form: str
  n: str = ''
  interval: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Figure:
  """What a run says of a row: a value, or why it has none."""

  value: float | str | None
  why: str = ''
  n: str = ''
  interval: tuple[float, float] | None = None


Numbers = Mapping[str, Mapping[str, Any]]


def rows(
  numbers: Numbers, main: str, model: str, largest: tuple[str, int]
) -> list[Row]:
  """The rows of a run.

  Args:
    numbers: of each analysis that was made, by its name.
    main: the run that stands beside A/1.
    model: its transformer's name.
    largest: the run of most features, and how many these are.
  """
  neurons = f'{model}/neurons'
  found: list[Row] = []

  def add(what, published, form, analysis, get: Callable) -> None:
    if analysis not in numbers:
      own = Figure(None, f'the analysis {analysis} was not made')
    elif 'not_here' in numbers[analysis]:
      own = Figure(None, numbers[analysis]['not_here'])
    else:
      own = get(numbers[analysis])
    if own.value is None and not own.why:
      why = f'nothing to be measured: see the analysis {analysis}'
      own = dataclasses.replace(own, why=why)
    found.append(
      Row(what, published, own.value, own.why, form, own.n, own.interval)
    )

  def of(run: str, key: str, unit: str = '', count: str = ''):
    """A key of a run's numbers, with its interval and its reason."""

    def get(n) -> Figure:
      own = n['runs'].get(run, {})
      if own.get(key) is None:
        return Figure(None, own.get(f'{key}_reason', ''))
      size = own.get(count)
      words = f'{size:,} {unit}' if size is not None else ''
      return Figure(own[key], '', words, own.get(f'{key}_interval'))

    return get

  def share(key: str):
    def get(n) -> Figure:
      own = n['runs'][main]
      if own[key] is None:
        return Figure(None, own['ultralow_reason'])
      words = f'{own["features"]:,} features on {own["tokens"]:,} tokens'
      return Figure(own[key] / own['features'], '', words)

    return get

  def proxy(name: str):
    def get(n) -> Figure:
      if name in n['absent']:
        return Figure(None, n['absent'][name])
      best = n['runs'][main]['proxies'][name]
      if best is None:
        return Figure(None, 'no feature goes with it')
      dive = n.get('dives', {}).get(name, {}).get('overlap', {}).get(main, {})
      tokens = f'{dive["tokens"]:,} tokens' if dive else ''
      return Figure(best['reported'], '', tokens, dive.get('r_interval'))

    return get

  def widest(n) -> Figure:
    if largest[1] < 131_072:
      return Figure(None, f'the largest is {largest[0]} of {largest[1]:,}')
    return of(largest[0], 'loss_recovered', 'tokens', 'tokens')(n)

  def split(n) -> Figure:
    own = n['base64']
    if 'absent' in own:
      return Figure(None, own['absent'])
    counts = own.get('children', own['reached'])
    return Figure(', '.join(f'{run} {count}' for run, count in counts.items()))

  tokens = ('tokens', 'tokens')
  live = ('live features', 'live')
  add(
    *('loss recovered', 0.79, '.1%', 'preserved'),
    of(main, 'loss_recovered', *tokens),
  )
  add('L0', 4.9, '.1f', 'preserved', of(main, 'l0', *tokens))
  add('dead features', 0.041, '.1%', 'density', share('dead'))
  add('ultralow-density features', 0.071, '.1%', 'density', share('ultralow'))
  add('low-mode features', '-', '.1%', 'density', share('low_mode'))
  add('live features', 0.888, '.1%', 'density', share('live'))
  add(
    *('live features of density above 1%', 4, ',', 'density'),
    of(main, 'above_1_percent', *live),
  )
  add(
    *('median density of live features', 8.1e-4, '.1e', 'density'),
    of(main, 'median_density', *live),
  )
  add(
    *('single-token features', 0.57, '.0%', 'neurons'),
    of(main, 'single_token', *live),
  )
  for what, run in (('feature', main), ('neuron', neurons)):
    add(
      f'nearest {what} of the other model, median correlation',
      paper.UNIVERSALITY[f'{what}s'],
      '.2f',
      'universality',
      of(run, 'universality_r', f'live {what}s', 'n'),
    )
  for name, published in paper.DEEP_DIVES.items():
    add(
      f'{published.title} feature: correlation with its proxy',
      published.r,
      '.2f',
      'proxies',
      proxy(name),
    )
  add('base64 features by dictionary', 'A/0 1, A/1 3', '', 'splitting', split)
  add('loss recovered, 131,072 features', 0.945, '.1%', 'preserved', widest)
  return found


def table(found: list[Row], scale: Mapping[str, str]) -> str:
  """The rows in Markdown, with the scale of the run."""
  lines = [
    'Scale of this run: ' + '; '.join(f'{k} {v}' for k, v in scale.items()),
    '',
    '| | the paper | this run | 95% | of |',
    '|---|---:|---:|---:|---|',
  ]
  lines += [
    f'| {r.what} | {_cell(r.paper, r.form)} | {_cell(r.run, r.form)} | '
    f'{_interval(r)} | {r.why or r.n} |'
    for r in found
  ]
  return '\n'.join(lines)


def _cell(value: float | str | None, form: str) -> str:
  if value is None:
    return '-'
  return value if isinstance(value, str) else format(value, form)


def _interval(r: Row) -> str:
  if r.interval is None:
    return ''
  return ' to '.join(_cell(x, r.form) for x in r.interval)
