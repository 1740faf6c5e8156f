"""Pages of single features, in Markdown, with the paper's numbers beside."""

import re

from monosem_jax import paper
from monosem_jax.stages.analysis.bench import Bench


def code(text: str) -> str:
  """A text as Markdown shows it as it is: nothing in it is mark-up."""
  shown = ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)
  # Longer than any fence inside.
  longest = max(map(len, re.findall('`+', shown)), default=0)
  fence = '`' * (longest + 1)
  return f'{fence} {shown} {fence}' if longest else f'`{shown}`'


def tokens(strings: list[str]) -> str:
  return ' '.join(map(code, strings)) or '-'


def dive(name: str, n: dict, bench: Bench) -> str:
  """The page of a proxy's feature."""
  known = vars(paper.DEEP_DIVES[name]) if name in paper.DEEP_DIVES else {}
  twin = n['twin'] or {}
  overlap = n['overlap'][bench.main.run]
  rows = [
    ('feature', n['feature'], known.get('feature')),
    ('correlation with the proxy', _3(n['r']), _3(known.get('r'))),
    ('best neuron', n['neuron'], None),
    ('... its correlation', _3(n['neuron_r']), None),
    ('density', f'{n["density"]:.2e}', _sci(known.get('density'))),
    ('tokens with the proxy on', f'{n["share_of_tokens"]:.3%}', None),
    ('activation where the proxy is on', _pc(overlap['activation_on']), None),
    ('tokens of the proxy it fires on', _pc(overlap['sensitivity']), None),
    ('twin on the other model', twin.get('feature'), None),
    ('... its correlation', _3(twin.get('r')), _3(known.get('twin'))),
    (
      'of the tokens it predicts most, on by the proxy',
      f'{n["predicted_on"]} of {n["predicted"]}',
      None,
    ),
    (
      'largest coefficients (neuron: value)',
      ', '.join(f'{a}: {x:.3f}' for a, x in n['coefficients'].items()),
      None,
    ),
  ]
  lines = [
    f'# {name}: {n["feature"]}',
    '',
    f'On {bench.tokens:,} tokens. The feature and the neuron are those that '
    'correlate most with the proxy on one half of them; the correlations are '
    'of the other half.',
    '',
    '| | this run | the paper |',
    '|---|---:|---:|',
    *(f'| {a} | {b or "-"} | {c or "-"} |' for a, b, c in rows),
    '',
    f'Fires on {tokens(n["fires_on"])}; predicts {tokens(n["predicts"])}.',
    '',
    '| interval from | tokens with the proxy on, of those there |',
    '|---:|---:|',
    *(
      f'| {edge:.2f} | {_pc(share)} |'
      for edge, share in zip(
        overlap['edges'], overlap['specificity'][1:], strict=True
      )
    ),
    '',
    f'![tokens by activation]({name}_counts.png)',
    f'![share of the activation by activation]({name}_expected_value.png)',
    '',
  ]
  if n['neuron']:
    lines += [
      f'The neuron, {n["neuron"]}:',
      '',
      f'![tokens by activation]({name}_neuron_counts.png)',
      f'![share of the activation]({name}_neuron_expected_value.png)',
      '',
    ]
  lines += ['Other features that go with the proxy:', '']
  lines += [
    f'- {x["feature"]} ({_3(x["r"])}): fires on {tokens(x["fires_on"])}; '
    f'predicts {tokens(x["predicts"])}'
    for x in n['companions']
  ]
  return '\n'.join([*lines, ''])


def _3(x: float | None) -> str | None:
  return None if x is None else f'{x:.2f}'


def _sci(x: float | None) -> str | None:
  return None if x is None else f'{x:.2e}'


def _pc(x: float) -> str:
  return '-' if x != x else f'{x:.1%}'
