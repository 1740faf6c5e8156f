"""The paper's figures beside a run's: one row each, none filled in by hand.

The paper's are of A/1. A row that a run cannot fill says why. Beside a figure
stand its interval (95%) and what it is of: how many features or tokens.
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
  interval: Interval = None


@dataclasses.dataclass(frozen=True)
class Figure:
  """What a run says of a row: a value, or why it has none."""

  value: float | str | None
  why: str = ''
  n: str = ''
  interval: Interval = None


@dataclasses.dataclass(frozen=True)
class Results:
  """The numbers that rows are made of; None of analyses that were not made."""

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
    results: the analyses that were made.
    main: the dictionary that stands beside A/1.
    model: its transformer's name.
    largest: the dictionary of most features, and how many these are.
  """
  neurons = f'{model}/neurons'
  found: list[Row] = []

  def add(what, published, form, analysis, own, get: Callable) -> None:
    if own is None:
      figure = Figure(None, f'the analysis {analysis} was not made')
    elif isinstance(own, NotMade):
      figure = Figure(None, own.why)
    else:
      figure = get(own)
    if figure.value is None and not figure.why:
      why = f'nothing to be measured: see the analysis {analysis}'
      figure = dataclasses.replace(figure, why=why)
    found.append(
      Row(
        *(what, published, figure.value, figure.why, form, figure.n),
        figure.interval,
      )
    )

  def widest(n: Preserved) -> Figure:
    if largest[1] < paper.LARGEST:
      return Figure(None, f'the largest is {largest[0]} of {largest[1]:,}')
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
  """A figure, or why there is none."""
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
    return Figure(None, 'no feature goes with it')
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
