"""Writes report.json and report.md from the results of the stages."""

from typing import Any

from monosem_jax import paper
from monosem_jax.config.names import name_of
from monosem_jax.features import labels as hand
from monosem_jax.run import Run
from monosem_jax.run.files import read_json, write_file, write_json


def write(run: Run) -> None:
  """Writes both reports from the results so far.

  Raises:
    UserError: labels.json is not valid.
  """
  w = run.workdir
  report: dict[str, Any] = {'models': {}, 'dictionaries': {}, 'features': {}}
  for name in run.config.models:
    if w.model_result(name).exists():
      report['models'][name] = read_json(w.model_result(name))
  for name in run.config.dictionaries:
    numbers = w.evaluation(name) / 'numbers.json'
    if w.training(name).exists() and numbers.exists():
      report['dictionaries'][name_of(name)] = read_json(
        w.training(name)
      ) | read_json(numbers)
    table = w.features(name) / 'meta.json'
    if table.exists():
      report['features'][name_of(name)] = read_json(table)['census']
  text = _markdown(report)
  summary = w.analysis('summary')
  if (summary / 'summary.json').exists():
    report['analysis'] = read_json(summary / 'summary.json')
    text += '\n' + (summary / 'summary.md').read_text(encoding='utf-8')
  if w.labels.exists():
    sizes = {name_of(k): x.features for k, x in run.config.dictionaries.items()}
    report['labels'] = hand.scores(hand.load(w.labels, sizes))
    text += _labels(report['labels'])
  if w.toy_result.exists():
    report['toy'] = read_json(w.toy_result)
    lines = [f'- {name}: {x["summary"]}' for name, x in report['toy'].items()]
    text += '\n'.join(['', '## Toy models: why dictionaries', '', *lines, ''])
  write_json(w.root / 'report.json', report)
  write_file(w.root / 'report.md', text.encode())


# The rows of the table: key of the number, label, format.
_ROWS = (
  ('recipe', 'recipe', 's'),
  ('init', '... starts from', 's'),
  ('placement', '... dead features are put by', 's'),
  ('features', 'features', ','),
  ('l1', 'L1 coefficient', '.3g'),
  ('l0', 'L0: active features per token', '.2f'),
  ('l1_norm', 'sum of activations per token', '.2f'),
  ('mse', 'mean squared error per element', '.3g'),
  ('explained_variance', 'explained variance', '.1%'),
  ('loss_recovered', 'loss recovered', '.1%'),
  ('loss_clean', 'loss, clean (nats)', '.3f'),
  ('loss_zero_ablated', 'loss, zero-ablated', '.3f'),
  ('loss_reconstructed', 'loss, reconstructed', '.3f'),
  ('silent', 'silent on the sample', ','),
  ('dead_in_training', 'dead at the end of training', ','),
  ('dead_window', '... over the last so many steps', ','),
  ('sample_tokens', 'tokens of the sample', ','),
  ('census.dead', 'dead, on the tokens of the feature table', ','),
  ('census.rare', '... rare: fired on too few', ','),
  ('census.low_mode', '... of a low mode', ','),
  ('census.live', '... live: all others', ','),
  ('census.tokens', '... of so many tokens', ','),
  ('activations_seen', 'activations trained on', ','),
  ('unique_activations', '... of them unique', ','),
  ('epochs', '... epochs of the text', '.3g'),
  ('contexts_per_batch', 'contexts mixed in a batch', ',.0f'),
  ('resampling_candidates', 'inputs a resampling chooses from', ','),
  ('activations_per_second', 'activations per second', ',.0f'),
  ('flops_per_second', 'FLOP/s, of all dictionaries of the stream', '.3g'),
  ('mfu', '... as a share of the peak', '.1%'),
)


def _markdown(report: dict[str, Any]) -> str:
  lines = ['# Report', '']
  for name, model in report['models'].items():
    rate = model['tokens_per_second']
    lines += [
      f'## Transformer {name}',
      '',
      f'Held-out loss {model["val_loss"]:.3f} nats per token (perplexity '
      f'{model["perplexity"]:.1f}) after {model["tokens"]:,} tokens'
      + (f', {rate:,.0f} tokens/s.' if rate else '.'),
      '',
    ]
  dictionaries = {
    name: numbers | {'census': report['features'].get(name, {})}
    for name, numbers in report['dictionaries'].items()
  }
  if dictionaries:
    lines += [
      '## Dictionaries',
      '',
      '| | ' + ' | '.join(dictionaries) + ' |',
      '|---|' + '---:|' * len(dictionaries),
    ]
    for key, label, form in _ROWS:
      cells = [
        _cell(_at(numbers, key), form) for numbers in dictionaries.values()
      ]
      lines.append(f'| {label} | ' + ' | '.join(cells) + ' |')
    lines.append('')
    for name, numbers in dictionaries.items():
      for step, count in numbers['resampled']:
        lines.append(f'- {name}: {count:,} features resampled at step {step:,}')
      if why := _at(numbers, 'census.ultralow_reason'):
        lines.append(f'- {name}: rare, not ultralow: {why}')
    lines.append('')
  return '\n'.join(lines)


def _at(numbers: dict[str, Any], key: str) -> Any:
  """Returns an entry by its key; a dot leads into a part of the numbers."""
  part, _, own = key.rpartition('.')
  return (numbers.get(part, {}) if part else numbers).get(own)


def _cell(value: Any, form: str) -> str:
  return '-' if value is None else format(value, form)


_MADE = {'blind': 'blind', 'seen': 'name in sight'}


def _labels(scores: dict[str, Any]) -> str:
  """Returns the section on people's scores, beside the paper's medians."""
  rows, medians = [], []
  for made, by_kind in scores.items():
    for kind, own in by_kind.items():
      n = own['intervals']
      if not n:
        continue
      # The paper's annotator was blind.
      published = paper.RUBRIC[kind] if made == 'blind' else '-'
      rows.append(
        f'| {kind}, {_MADE[made]} | {published} | {own["median"]:g} | {n:,} '
        f'| {own["features"]:,} | {own["above_8"] / n:.0%} |'
      )
      parts = [
        f'{name} {x["median"]:g} (of {len(x["totals"]):,})'
        for name, x in own['by_interval'].items()
      ]
      medians.append(f'- medians of {kind}, {_MADE[made]}: {", ".join(parts)}')
  if not rows:
    return ''
  lines = [
    '',
    '## Labels by hand',
    '',
    'Points of 14 that people gave to intervals, groups of examples of one '
    f'feature each; one above {hand.INTERPRETABLE} is quite interpretable.',
    '',
    '| | the paper: median | median | intervals | of so many '
    f'| above {hand.INTERPRETABLE} |',
    '|---|' + '---:|' * 5,
    *rows,
    '',
    *medians,
    '',
  ]
  return '\n'.join(lines)
