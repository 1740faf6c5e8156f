"""The paper's figures beside a run's: one row each, none filled in by hand.

The paper's are of A/1. A row that a run cannot fill says why.
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
  """

  what: str
  paper: float | str
  run: float | str | None
  why: str
  form: str


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
    run, why = None, ''
    if analysis not in numbers:
      why = f'the analysis {analysis} was not made'
    elif 'not_here' in numbers[analysis]:
      why = numbers[analysis]['not_here']
    else:
      run = get(numbers[analysis])
      if isinstance(run, tuple):
        run, why = run
      elif run is None:
        why = 'nothing to be measured: see the analysis ' + analysis
    found.append(Row(what, published, run, why, form))

  of_main = lambda key: lambda n: n['runs'][main][key]

  def share(key: str):
    def get(n):
      own = n['runs'][main]
      if own[key] is None:
        return None, own['ultralow_reason']
      return own[key] / own['features']

    return get

  def proxy(name: str):
    def get(n):
      if name in n['absent']:
        return None, n['absent'][name]
      best = n['runs'][main]['proxies'][name]
      return best['reported'] if best else (None, 'no feature goes with it')

    return get

  def widest(n):
    if largest[1] < 131_072:
      return None, f'the largest is {largest[0]} of {largest[1]:,} features'
    return n['runs'][largest[0]]['loss_recovered']

  def split(n):
    own = n['base64']
    if 'absent' in own:
      return None, own['absent']
    counts = [f'{run} {count}' for run, count in own['reached'].items()]
    return ', '.join(counts)

  add('loss recovered', 0.79, '.1%', 'preserved', of_main('loss_recovered'))
  add('L0', 4.9, '.1f', 'preserved', of_main('l0'))
  add('dead features', 0.041, '.1%', 'density', share('dead'))
  add('ultralow-density features', 0.071, '.1%', 'density', share('ultralow'))
  add('low-mode features', '-', '.1%', 'density', share('low_mode'))
  add('live features', 0.888, '.1%', 'density', share('live'))
  add(
    'live features of density above 1%',
    4,
    ',',
    'density',
    of_main('above_1_percent'),
  )
  add(
    'median density of live features',
    8.1e-4,
    '.1e',
    'density',
    of_main('median_density'),
  )
  add('single-token features', 0.57, '.0%', 'neurons', of_main('single_token'))
  add(
    'nearest feature of the other model, median correlation',
    paper.UNIVERSALITY['features'],
    '.2f',
    'universality',
    of_main('universality_r'),
  )
  add(
    'nearest neuron of the other model, median correlation',
    paper.UNIVERSALITY['neurons'],
    '.2f',
    'universality',
    lambda n: n['runs'].get(neurons, {}).get('universality_r'),
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

  def cell(value, form: str) -> str:
    if value is None:
      return '-'
    return value if isinstance(value, str) else format(value, form)

  lines = [
    'Scale of this run: ' + '; '.join(f'{k} {v}' for k, v in scale.items()),
    '',
    '| | the paper | this run | |',
    '|---|---:|---:|---|',
  ]
  lines += [
    f'| {r.what} | {cell(r.paper, r.form)} | {cell(r.run, r.form)} | {r.why} |'
    for r in found
  ]
  return '\n'.join(lines)
