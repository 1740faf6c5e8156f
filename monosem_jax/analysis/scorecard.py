"""Compares a run's figures with the paper's, one row each, none typed in.

The paper's figures are those of A/1. A row that a run cannot fill says why.
Each figure comes with its 95% interval and with the number of features or
tokens it is over.
"""

import dataclasses
from collections.abc import Callable, Mapping

from monosem_jax import paper
from monosem_jax.analysis.results.density import Census, Density
from monosem_jax.analysis.results.features import Neurons
from monosem_jax.analysis.results.numbers import Interval, NotMade
from monosem_jax.analysis.results.preserved import Preserved, Refused
from monosem_jax.analysis.results.proxies import Proxies
from monosem_jax.analysis.results.splitting import Absent, Splitting
from monosem_jax.analysis.results.universality import Universality


@dataclasses.dataclass(frozen=True)
class Row:
  """One figure.

  Attributes:
    what: name of the figure.
    paper: the published value.
    run: the value of this run; None if it is missing.
    why: why it is missing; otherwise ''.
    form: format specification of both values.
    n: what the figure is over, in words.
    interval: ends of the 95% interval; None if there is none.
  """

  what: str
  paper: float | str
  run: float | str | None
  why: str
  form: str
  n: str = ''
  interval: Interval = None


@dataclasses.dataclass(frozen=True)
class Figure:
  """A run's part of a row.

  Attributes:
    value: the value; None if it is missing.
    why: why it is missing; otherwise ''.
    n: what the figure is over, in words.
    interval: ends of the 95% interval; None if there is none.
  """

  value: float | str | None
  why: str = ''
  n: str = ''
  interval: Interval = None


@dataclasses.dataclass(frozen=True)
class Results:
  """The results that rows are made from; None for analyses that did not run."""

  preserved: Preserved | NotMade | None = None
  density: Density | NotMade | None = None
  neurons: Neurons | NotMade | None = None
  universality: Universality | NotMade | None = None
  proxies: Proxies | NotMade | None = None
  splitting: Splitting | NotMade | None = None


def rows(
  results: Results, main: str, model: str, largest: tuple[str, int]
) -> list[Row]:
  """The rows of a run.

  Args:
    results: results of the analyses.
    main: the set that is compared with A/1.
    model: name of its transformer.
    largest: the set with the most features, and their number.
  """
  neurons = f'{model}/neurons'
  found: list[Row] = []

  def add(what, published, form, analysis, own, get: Callable) -> None:
    if own is None:
      figure = Figure(None, f'the analysis {analysis} was not run')
    elif isinstance(own, NotMade):
      figure = Figure(None, own.why)
    else:
      figure = get(own)
    if figure.value is None and not figure.why:
      why = f'nothing to measure: see the analysis {analysis}'
      figure = dataclasses.replace(figure, why=why)
    found.append(
      Row(
        *(what, published, figure.value, figure.why, form, figure.n),
        figure.interval,
      )
    )

  def widest(n: Preserved) -> Figure:
    if largest[1] < paper.LARGEST:
      return Figure(
        None, f'the largest is {largest[0]}, with {largest[1]:,} features'
      )
    return _recovered(n, largest[0])

  preserved = 'preserved', results.preserved
  density = 'density', results.density
  add(
    *('loss recovered', paper.LOSS_RECOVERED, '.1%', *preserved),
    lambda n: _recovered(n, main),
  )
  add('L0', paper.L0, '.1f', *preserved, lambda n: _l0(n, main))
  for what, published, of in (
    ('dead', paper.DEAD, lambda c: c.dead),
    ('ultralow-density', paper.ULTRALOW, lambda c: c.ultralow),
    ('low-mode', '-', lambda c: c.low_mode),
    ('live', paper.LIVE, lambda c: c.live),
  ):
    add(
      *(f'{what} features', published, '.1%', *density),
      lambda n, of=of: _share(n.sets[main].census, of),
    )
  add(
    *('live features of density above 1%', paper.ABOVE_1_PERCENT, ','),
    *(*density, lambda n: _above_1_percent(n, main)),
  )
  add(
    *('median density of live features', paper.MEDIAN_DENSITY, '.1e'),
    *(*density, lambda n: _median_density(n, main)),
  )
  add(
    *('single-token features', paper.SINGLE_TOKEN, '.0%', 'neurons'),
    *(results.neurons, lambda n: _single_token(n, main)),
  )
  for what, own in (('feature', main), ('neuron', neurons)):
    add(
      f'nearest {what} of the other model, median correlation',
      paper.UNIVERSALITY[f'{what}s'],
      *('.2f', 'universality', results.universality),
      lambda n, own=own: _universality(n, own),
    )
  for name, dive in paper.DEEP_DIVES.items():
    add(
      f'{dive.title} feature: correlation with its proxy',
      *(dive.r, '.2f', 'proxies', results.proxies),
      lambda n, name=name: _proxy(n, name, main),
    )
  add(
    *('base64 features by dictionary', _counts(paper.BASE64_FEATURES), ''),
    *('splitting', results.splitting, _base64),
  )
  add(
    f'loss recovered, {paper.LARGEST:,} features',
    *(paper.LARGEST_LOSS_RECOVERED, '.1%', *preserved, widest),
  )
  return found


def _figure(
  value: float | None, n: str, interval: Interval = None, why: str = ''
) -> Figure:
  """A figure, or the reason why it is missing."""
  return Figure(None, why) if value is None else Figure(value, '', n, interval)


def _recovered(n: Preserved, name: str) -> Figure:
  own = n.sets.get(name)
  if own is None:
    return Figure(None)
  if isinstance(own.found, Refused):
    return Figure(None, own.found.loss_recovered_reason)
  whole = own.found.whole
  return _figure(
    whole.loss_recovered,
    f'{whole.tokens:,} tokens',
    own.found.loss_recovered_interval,
    whole.loss_recovered_reason,
  )


def _l0(n: Preserved, name: str) -> Figure:
  own = n.sets.get(name)
  if own is None or isinstance(own.found, Refused):
    return Figure(None)
  whole = own.found.whole
  return _figure(whole.l0, f'{whole.tokens:,} tokens', own.found.l0_interval)


def _share(own: Census, of: Callable[[Census], int | None]) -> Figure:
  count = of(own)
  if count is None:
    return Figure(None, own.ultralow_reason)
  words = f'{own.features:,} features on {own.tokens:,} tokens'
  return Figure(count / own.features, '', words)


def _above_1_percent(n: Density, name: str) -> Figure:
  own = n.sets[name].census
  return Figure(own.above_1_percent, '', f'{own.live:,} live features')


def _median_density(n: Density, name: str) -> Figure:
  own = n.sets[name].census
  words = f'{own.live:,} live features'
  ends = n.sets[name].median_density_interval
  return _figure(own.median_density, words, ends)


def _single_token(n: Neurons, name: str) -> Figure:
  own = n.sets.get(name)
  if own is None:
    return Figure(None)
  words = f'{own.live:,} live features'
  return _figure(own.single_token, words, own.single_token_interval)


def _universality(n: Universality, name: str) -> Figure:
  own = n.sets.get(name)
  if own is None:
    return Figure(None)
  unit = 'live neurons' if name.endswith('/neurons') else 'live features'
  words = f'{own.universality_n:,} {unit}'
  return Figure(own.universality_r, '', words, own.universality_interval)


def _proxy(n: Proxies, name: str, main: str) -> Figure:
  if name in n.absent:
    return Figure(None, n.absent[name])
  best = n.sets[main].proxies[name]
  if best is None:
    return Figure(None, 'no feature correlates with it')
  dive = n.dives.get(name)
  overlap = dive and dive.overlap.get(main)
  if not overlap:
    return Figure(best.reported)
  words = f'{overlap.tokens:,} tokens'
  return Figure(best.reported, '', words, overlap.r_interval)


def _base64(n: Splitting) -> Figure:
  if isinstance(n.base64, Absent):
    return Figure(None, n.base64.absent)
  return Figure(_counts(n.base64.children))


def _counts(by_name: Mapping[str, int]) -> str:
  return ', '.join(f'{name} {count}' for name, count in by_name.items())


def table(found: list[Row], scale: Mapping[str, str]) -> str:
  """The rows as a Markdown table, after a line with the scale of the run."""
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
