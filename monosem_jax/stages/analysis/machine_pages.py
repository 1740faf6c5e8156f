"""Draws machines, and writes their page in Markdown."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from monosem_jax.analysis import figures
from monosem_jax.analysis.results.automata import Automata, FamilyCount
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.stages.analysis.pages import code, tokens


def draw(path: pathlib.Path, entry: dict[str, Any]) -> None:
  """Draws a machine: its features in a circle, and its edges."""
  names = [node['feature'] for node in entry['nodes']]
  n = len(names)
  around = np.pi / 2 - 2 * np.pi * np.arange(n) / n
  at = {
    name: (0.5 + 0.4 * np.cos(a), 0.5 + 0.4 * np.sin(a))
    if n > 1
    else (0.5, 0.4)
    for name, a in zip(names, around, strict=True)
  }
  labels = {
    node['feature']: node['feature']
    + '\n'
    + ' '.join(map(repr, node['fires_on'][:3]))
    for node in entry['nodes']
  }
  told = entry['measured']
  listed = lambda values: ', '.join(
    '-' if x is None or x != x else f'{x:.2f}' for x in values
  )
  figures.graph(
    path,
    at,
    [
      (e['from'], e['to'], w)
      for e, w in zip(told, entry['predicted'], strict=True)
    ],
    f'A {entry["kind"]}. Arrows: by how much the probability that the next '
    'feature fires rises, predicted from logit weights: '
    f'{listed(entry["predicted"])}; when the one before is pinned: '
    f'{listed(e["pinned"] for e in told)}; in held-out text where it fires: '
    f'{listed(e["rise"] for e in told)}.',
    labels,
  )


def draw_null(
  path: pathlib.Path, null: Sequence[FamilyCount], permutations: int
) -> None:
  """Draws the counts of machines found, and in permuted graphs."""
  figures.bars(
    path,
    [_family(row) for row in null],
    {
      'found': np.array([row.found for row in null], float),
      'permuted': np.array([row.null_mean for row in null]),
      'permuted in labels': np.array([row.within_mean for row in null]),
    },
    f'Machines above the threshold, and the mean of {permutations} graphs in '
    'which rows of logit weights are permuted among live features, or among '
    'those of one label.',
    'kind, and its features',
    'machines',
  )


def page(inputs: AnalysisInputs, numbers: Automata) -> str:
  c = inputs.config.automata
  told = numbers.transitions
  lines = [
    f'# Automata of {inputs.main.name}',
    '',
    f'Edges above {c.threshold:g}, from {inputs.tokens:,} tokens. Predicted: '
    'by how much likelier the next feature fires than it does anyway, from '
    'logit weights. Observed: how often it fires next where the one before '
    f'does, in {numbers.held_out_tokens:,} pairs of held-out tokens, with a '
    f'95% interval over {numbers.held_out_groups} groups of documents; '
    'beside it how often it fires anyway, how often the edge is walked '
    'in reverse and how often the one before stays. '
    f'Pinned to {c.strength:g} maxima, and ablated where it fires: '
    'by how much likelier the next one fires, plus or minus a standard error '
    'over contexts.',
    '',
    'Null: rows of logit weights are permuted among the '
    f'{numbers.live:,} live features, {c.permutations} times. The q-value '
    'of a machine (Benjamini and Hochberg, over all tuples of features of its '
    'kind and size) compares its weakest edge with those of machines that '
    f'permuted rows make; up to {c.q:g} it survives. Rows are also permuted '
    'among features of one label alone, which keeps features of one kind of '
    'text leading to each other: a machine that survives that is more than '
    'such a set.',
    '',
    '| kind | found | permuted: mean | min | max | survive '
    '| permuted in labels: mean | min | max | survive both |',
    '|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
  ]
  lines += [
    f'| {_family(r)} | {r.found:,} | '
    f'{r.null_mean:.1f} | {r.null_min:,} | {r.null_max:,} | '
    f'{r.surviving:,} | {r.within_mean:.1f} | {r.within_min:,} | '
    f'{r.within_max:,} | {r.surviving_within:,} |'
    for r in numbers.null
  ]
  lines += [
    '',
    '| edges above the threshold | seen | rise in held-out text | '
    'median observed | median base rate |',
    '|---|--:|--:|--:|--:|',
  ]
  lines += [
    f'| {name} | {r.seen:,} of {r.edges:,} | {r.rising:,} | '
    f'{_number(r.median_observed, ".3f")} | '
    f'{_number(r.median_base, ".3f")} |'
    for name, r in told.items()
  ]
  lines += ['', '# Systems that the paper names', '']
  for found in numbers.named:
    roles = ' -> '.join(
      f'{role} ({n})'
      for role, n in zip(found.states, found.candidates, strict=True)
    )
    lines += [f'## {found.name}', '', f'{roles} features play the roles.']
    lines += [
      'It survives.' if found.survives else f'Not found: {found.not_found}.',
      '',
    ]
    if found.machine:
      lines += _machine(found.machine)
  tally = lambda own: ', '.join(f'{n:,} {kind}' for kind, n in own.items() if n)
  lines += [
    '# Machines',
    '',
    f'Survive: {tally(numbers.surviving) or "none"}. Of these, in '
    'held-out text every edge is walked more often than its reverse (of a '
    'two-cycle: than the one before stays) in: '
    f'{tally(numbers.ordered) or "none"}; they are listed first. That is '
    'found on half of the groups of documents, at the same rate of false '
    'discoveries; the figures below are of the other half. A clique is a cycle '
    'whose features all lead to each other.',
    '',
  ]
  for entry in numbers.machines:
    about = f': {entry["about"]}' if entry['about'] else ''
    lines += [f'## {entry["kind"]}{about}', '', *_machine(entry)]
  return '\n'.join(lines)


def _machine(entry: dict[str, Any]) -> list[str]:
  lines = [
    f'- {node["feature"]}: fires on {tokens(node["fires_on"])}; predicts '
    f'{tokens(node["predicts"])}'
    for node in entry['nodes']
  ]
  order = {True: 'has an order', False: 'has no order', None: 'is one feature'}
  lines += [
    '',
    f'q {_number(entry["q"], ".2g")}, in labels '
    f'{_number(entry["q_within"], ".2g")}; permuted rows make '
    f'{_number(entry["expected"], ".2f")} as strong; in held-out text it '
    f'{order[entry["ordered"]]}.',
    '',
    '| edge | predicted | observed | base rate | reverse | stays | pinned '
    '| ablated |',
    '|---|--:|--:|--:|--:|--:|--:|--:|',
  ]
  lines += [
    f'| {e["from"]} to {e["to"]} | {w:.2f} | '
    f'{_number(e["observed"], ".2f")} {_interval(e["observed_interval"])} | '
    f'{e["base"]:.3f} | {_number(e["reverse"], ".2f")} | '
    f'{_number(e["stays"], ".2f")} | {_pm(e, "pinned")} | '
    f'{_pm(e, "ablated")} |'
    for e, w in zip(entry['measured'], entry['predicted'], strict=True)
  ]
  if entry['excerpt']:
    excerpt = entry['excerpt']
    lines += [
      '',
      f'In {excerpt["subset"]}, {excerpt["length"]} tokens in turn: '
      f'{code(excerpt["text"])}',
    ]
  text = entry['text']
  return [
    *lines,
    '',
    f'Walked: {text["on_machine"]:.0%} of the tokens on it, '
    f'{text["unpinned"]:.0%} without pins. {code(text["text"])}',
    '',
  ]


def _family(row: FamilyCount) -> str:
  n = row.features
  if row.kind == 'chain':
    return 'chains'
  if row.kind == 'cycle':
    return f'cycles of {n}' if n else 'longer cycles'
  return f'{row.kind}s'


def _number(x: float | None, form: str) -> str:
  return '-' if x is None or x != x else format(x, form)


def _interval(ends: tuple[float, float] | None) -> str:
  return '' if ends is None else f'({ends[0]:.2f} to {ends[1]:.2f})'


def _pm(e: dict[str, Any], key: str) -> str:
  error = e[f'{key}_se']
  if error is None or not np.isfinite(error):
    return '-'
  return f'{e[key]:+.3f} ± {error:.3f}'
