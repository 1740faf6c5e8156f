"""Pages of single features in Markdown, with the paper's numbers."""

import re
from collections.abc import Callable

from monosem_jax import paper
from monosem_jax.analysis.results.proxies import Dive, Overlap
from monosem_jax.stages.analysis.inputs import AnalysisInputs


def code(text: str) -> str:
  """Returns a text as literal Markdown code."""
  shown = ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)
  # Longer than any fence inside.
  longest = max(map(len, re.findall('`+', shown)), default=0)
  fence = '`' * (longest + 1)
  return f'{fence} {shown} {fence}' if longest else f'`{shown}`'


def tokens(strings: list[str]) -> str:
  return ' '.join(map(code, strings)) or '-'


def dive(name: str, n: Dive, inputs: AnalysisInputs) -> str:
  """Returns the page of a proxy's feature."""
  known, twin = paper.DEEP_DIVES.get(name), n.twin
  overlap = n.overlap[inputs.main.name]
  rows = [
    ('feature', n.feature, known.feature if known else None),
    ('correlation with the proxy', _num(n.r), _num(known.r if known else None)),
    ('density', f'{n.density:.2e}', _sci(known.density if known else None)),
    ('twin on the other model', twin.feature if twin else None, None),
    (
      '... its correlation',
      _num(twin.r if twin else None),
      _num(known.twin if known else None),
    ),
    (
      'of the tokens it predicts most, on by the proxy',
      f'{n.predicted_on} of {n.predicted}',
      None,
    ),
    (
      'largest coefficients (neuron: value)',
      ', '.join(f'{a}: {x:.3f}' for a, x in n.coefficients.items()),
      None,
    ),
  ]
  lines = [
    f'# {name}: {n.feature}',
    '',
    'The feature and the neuron are those that correlate most with the proxy '
    'on one half of the documents; their correlations, and what follows of '
    f'tokens, are of {overlap.tokens:,} tokens of the other half. The proxy '
    f'is on on {n.base_rate:.3%} of them: so much a feature that says '
    'nothing has in specificity and average precision.',
    '',
    '| | this run | the paper |',
    '|---|---:|---:|',
    *(f'| {a} | {b or "-"} | {c or "-"} |' for a, b, c in rows),
    '',
    f'Fires on {tokens(n.words.fires_on)}; predicts '
    f'{tokens(n.words.predicts)}.',
    '',
    *_beside(overlap, n.overlap.get(f'{inputs.main.model}/neurons')),
    f'![tokens by activation]({name}_counts.png)',
    f'![share of the activation by activation]({name}_expected_value.png)',
    '',
  ]
  if n.neuron:
    lines += [
      f'The neuron, {n.neuron}:',
      '',
      f'![tokens by activation]({name}_neuron_counts.png)',
      f'![share of the activation]({name}_neuron_expected_value.png)',
      '',
    ]
  lines += ['Other features that go with the proxy:', '']
  lines += [
    f'- {x.feature} ({_num(x.r)}): fires on {tokens(x.words.fires_on)}; '
    f'predicts {tokens(x.words.predicts)}'
    for x in n.companions
  ]
  return '\n'.join([*lines, ''])


def _beside(feature: Overlap, neuron: Overlap | None) -> list[str]:
  """Returns tables of the feature and the best neuron, then by interval."""
  sides = [feature, neuron]

  def row(what: str, form: Callable, of: Callable) -> str:
    cells = []
    for x in sides:
      if x is None:
        cells.append('-')
      else:
        value, ends = of(x)
        ends = f' ({form(ends[0])} to {form(ends[1])})' if ends else ''
        cells.append(f'{form(value)}{ends}')
    return f'| {what} | {cells[0]} | {cells[1]} |'

  names = [x.feature if x else '-' for x in sides]
  count = len(feature.edges)
  return [
    'In brackets intervals of 95% over groups of documents.',
    '',
    f'| | feature {names[0]} | best neuron {names[1]} |',
    '|---|---:|---:|',
    row('correlation with the proxy', _num, lambda x: (x.r, x.r_interval)),
    row(
      'tokens of the proxy it fires on (sensitivity)',
      _pc,
      lambda x: (x.sensitivity, x.sensitivity_interval),
    ),
    row(
      'activation where the proxy is on',
      _pc,
      lambda x: (x.activation_on, x.activation_on_interval),
    ),
    row(
      'average precision',
      _num,
      lambda x: (x.average_precision, x.average_precision_interval),
    ),
    row(
      'F1 above the threshold of the first half',
      _num,
      lambda x: (x.f1, x.f1_interval),
    ),
    '',
    'Tokens with the proxy on (specificity), of those in each interval of the '
    "feature's activation, and of the neuron's; in brackets where it begins.",
    '',
    '| interval | feature | best neuron |',
    '|---|---:|---:|',
    '| silent | '
    + ' | '.join(_pc(x.specificity[0]) if x else '-' for x in sides)
    + ' |',
    *(
      f'| {i + 1} of {count} | '
      + ' | '.join(
        f'{_pc(x.specificity[i + 1])} ({x.edges[i]:.2f})' if x else '-'
        for x in sides
      )
      + ' |'
      for i in range(count)
    ),
    '',
  ]


def _num(x: float | None) -> str:
  return '-' if x is None or x != x else f'{x:.2f}'


def _sci(x: float | None) -> str | None:
  return None if x is None else f'{x:.2e}'


def _pc(x: float | None) -> str:
  return '-' if x is None or x != x else f'{x:.1%}'
