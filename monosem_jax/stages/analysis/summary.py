"""What all analyses say together: the scorecard, and every run's row."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from monosem_jax.analysis import scorecard
from monosem_jax.run.files import read_json, write_file, write_json
from monosem_jax.stages.analysis.declaration import analyses
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.stages.analysis.sections.written import written

# The columns of a run's row: the analysis and the key of each, what it says and
# how it is written.
COLUMNS = (
  ('density', 'features', 'features', ','),
  ('density', 'live', '... live', ','),
  ('preserved', 'l0', 'L0', '.1f'),
  ('preserved', 'loss_recovered', 'loss recovered', '.1%'),
  ('preserved', 'loss_recovered_mean', '... of mean ablation', '.1%'),
  ('preserved', 'kl', 'KL, nats', '.3f'),
  ('preserved', 'explained_variance', 'explained variance', '.1%'),
  ('neurons', 'median_kurtosis', 'kurtosis, median', ',.0f'),
  ('neurons', 'single_token', 'single-token', '.0%'),
  ('neurons', 'single_document', 'single-document', '.0%'),
  ('neurons', 'median_diversity', 'top tokens, median', '.0f'),
  ('neurons', 'median_coefficients', 'neurons a feature', '.0f'),
  ('neurons', 'median_neuron_r', 'r of best neuron', '.2f'),
  ('logits', 'median_logit_kurtosis', 'logit kurtosis', '.1f'),
  ('logits', 'linear_r', 'r of logits, ablated', '.2f'),
  ('ablation', 'ablation_loss', 'loss rise, ablated', '.3f'),
  ('ablation', 'ablation_hurts', '... share above 0', '.0%'),
  ('universality', 'universality_r', 'r of other model', '.2f'),
  ('geometry', 'clumping_nearest', 'nearest cosine', '.2f'),
)


def write(inputs: AnalysisInputs, names: Sequence[str]) -> None:
  """Writes summary.json and summary.md from the numbers of those made."""
  w = inputs.w
  numbers = {
    name: read_json(w.analysis(name) / 'numbers.json') for name in names
  }
  dictionaries = w.config.dictionaries
  widest = max(dictionaries, key=lambda name: dictionaries[name].features)
  main = inputs.main
  rows = scorecard.rows(
    numbers,
    main.run,
    main.model,
    (inputs.feature_set(widest).run, dictionaries[widest].features),
  )
  scale = _scale(inputs)
  runs = _rows(inputs, numbers)
  why = {n: x['not_here'] for n, x in numbers.items() if 'not_here' in x}
  out = w.analysis('summary')
  write_json(
    out / 'summary.json',
    {
      'scorecard': [dataclasses.asdict(row) for row in rows],
      'scale': scale,
      'runs': runs,
      'not_here': why,
    },
  )
  text = '\n'.join(
    [
      '## Scorecard',
      '',
      f"{main.run} beside the paper's A/1.",
      '',
      scorecard.table(rows, scale),
      '',
      '## Features, neurons and controls',
      '',
      *_table(runs),
      '',
      '## What was asked, and the answers',
      '',
      *(
        line
        for name, own in numbers.items()
        for line in written(name, analyses()[name], own, main.run)
      ),
    ]
  )
  write_file(out / 'summary.md', text.encode())


def _scale(inputs: AnalysisInputs) -> dict[str, str]:
  w, main = inputs.w, inputs.main
  training = read_json(w.training(main.key))
  model = read_json(w.model_result(main.model))
  return {
    'features': f'{main.table.meta["features"]:,}',
    'activations trained on': f'{training["activations_seen"]:,}',
    'tokens the transformer was trained on': f'{model["tokens"]:,}',
    'vocabulary': f'{inputs.store.tokenizer.vocab_size:,}',
    'tokens of densities': f'{main.table.meta["tokens"]:,}',
    'tokens of correlations': f'{inputs.tokens:,}',
    'live are features of': f'{w.config.features.least_firings:,} firings or '
    'more, not of a lower mode',
  }


def _rows(inputs: AnalysisInputs, numbers: dict) -> dict[str, dict[str, Any]]:
  """Each run's values for the columns, and its proxies' correlations."""
  found = {}
  for s in inputs.feature_sets():
    own = {
      analysis: n.get('runs', {}).get(s.run, {})
      for analysis, n in numbers.items()
    }
    found[s.run] = {
      f'{analysis}.{key}': own.get(analysis, {}).get(key)
      for analysis, key, _, _ in COLUMNS
    }
    for name, best in own.get('proxies', {}).get('proxies', {}).items():
      found[s.run][f'proxies.{name}'] = best and best['reported']
  return found


def _table(runs: dict[str, dict[str, Any]]) -> list[str]:
  proxies = sorted({k for row in runs.values() for k in row if 'proxies.' in k})
  columns = [(f'{a}.{k}', label, form) for a, k, label, form in COLUMNS]
  columns += [(key, f'r of {key[8:]}', '.2f') for key in proxies]
  lines = [
    '| | ' + ' | '.join(label for _, label, _ in columns) + ' |',
    '|---|' + '---:|' * len(columns),
  ]
  for run, row in runs.items():
    cells = [
      '-' if row.get(key) is None else format(row[key], form)
      for key, _, form in columns
    ]
    lines.append(f'| {run} | ' + ' | '.join(cells) + ' |')
  return lines
