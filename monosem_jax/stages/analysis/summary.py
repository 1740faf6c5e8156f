"""Summarises all analyses: the scorecard, and a row per set of features."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monosem_jax.analysis import scorecard
from monosem_jax.analysis.results.density import Density
from monosem_jax.analysis.results.features import Neurons
from monosem_jax.analysis.results.numbers import NotMade, Numbers
from monosem_jax.analysis.results.preserved import (
  Figures,
  Measured,
  Preserved,
  SetPreserved,
)
from monosem_jax.analysis.results.proxies import Proxies
from monosem_jax.analysis.results.splitting import Splitting
from monosem_jax.analysis.results.universality import Universality
from monosem_jax.run.files import read_json, write_file, write_json
from monosem_jax.stages.analysis.declaration import analyses
from monosem_jax.stages.analysis.inputs import AnalysisInputs, N
from monosem_jax.stages.analysis.sections.written import written


@dataclasses.dataclass(frozen=True)
class Column:
  """A column of the table.

  Attributes:
    key: its key in summary.json.
    label: its label in the table.
    form: the format of its cells.
    of: `of(numbers)` returns the figure of a set from its numbers.
  """

  key: str
  label: str
  form: str
  of: Callable[[Any], float | None]


def _whole(
  of: Callable[[Figures], float | None],
) -> Callable[[SetPreserved], Any]:
  """Returns a function to a figure of all tokens; None if not measured."""
  return lambda own: (
    of(own.found.whole) if isinstance(own.found, Measured) else None
  )


# The columns by analysis.
COLUMNS = {
  'density': (
    Column('features', 'features', ',', lambda x: x.census.features),
    Column('live', '... live', ',', lambda x: x.census.live),
  ),
  'preserved': (
    Column('l0', 'L0', '.1f', _whole(lambda x: x.l0)),
    Column(
      *('loss_recovered', 'loss recovered', '.1%'),
      _whole(lambda x: x.loss_recovered),
    ),
    Column(
      *('loss_recovered_mean', '... of mean ablation', '.1%'),
      _whole(lambda x: x.loss_recovered_mean),
    ),
    Column('kl', 'KL, nats', '.3f', _whole(lambda x: x.kl)),
    Column(
      *('explained_variance', 'explained variance', '.1%'),
      _whole(lambda x: x.explained_variance),
    ),
  ),
  'neurons': (
    Column(
      *('median_kurtosis', 'kurtosis, median', ',.0f'),
      lambda x: x.median_kurtosis,
    ),
    Column('single_token', 'single-token', '.0%', lambda x: x.single_token),
    Column(
      *('single_document', 'single-document', '.0%'),
      lambda x: x.single_document,
    ),
    Column(
      *('median_diversity', 'top tokens, median', '.0f'),
      lambda x: x.median_diversity,
    ),
    Column(
      *('median_coefficients', 'neurons a feature', '.0f'),
      lambda x: x.median_coefficients,
    ),
    Column(
      *('median_neuron_r', 'r of best neuron', '.2f'),
      lambda x: x.median_neuron_r,
    ),
  ),
  'logits': (
    Column(
      *('median_logit_kurtosis', 'logit kurtosis', '.1f'),
      lambda x: x.median_logit_kurtosis,
    ),
    Column(
      *('linear_r', 'r of logits, ablated', '.2f'),
      lambda x: x.effects and x.effects.linear_r,
    ),
  ),
  'ablation': (
    Column(
      *('ablation_loss', 'loss rise, ablated', '.3f'),
      lambda x: x.ablation_loss,
    ),
    Column(
      *('ablation_hurts', '... share above 0', '.0%'),
      lambda x: x.ablation_hurts,
    ),
  ),
  'universality': (
    Column(
      *('universality_r', 'r of other model', '.2f'),
      lambda x: x.universality_r,
    ),
  ),
  'geometry': (
    Column(
      *('clumping_nearest', 'nearest cosine', '.2f'),
      lambda x: x.clumping_nearest,
    ),
  ),
}


def write(inputs: AnalysisInputs, names: Sequence[str]) -> None:
  """Writes summary.json and summary.md from the numbers of analyses."""
  run = inputs.run
  made: dict[str, Numbers] = {
    name: analyses()[name].numbers.load(run.workdir.analysis(name))
    for name in names
  }
  dictionaries = run.config.dictionaries
  widest = max(dictionaries, key=lambda name: dictionaries[name].features)
  main = inputs.main
  rows = scorecard.rows(
    scorecard.Results(
      preserved=_made(made, 'preserved', Preserved),
      density=_made(made, 'density', Density),
      neurons=_made(made, 'neurons', Neurons),
      universality=_made(made, 'universality', Universality),
      proxies=_made(made, 'proxies', Proxies),
      splitting=_made(made, 'splitting', Splitting),
    ),
    main.name,
    main.model,
    (inputs.feature_set(widest).name, dictionaries[widest].features),
  )
  scale = _scale(inputs)
  by_name = _rows(inputs, made)
  why = {n: x.why for n, x in made.items() if isinstance(x, NotMade)}
  out = run.workdir.analysis('summary')
  write_json(
    out / 'summary.json',
    {
      'scorecard': [dataclasses.asdict(row) for row in rows],
      'scale': scale,
      'runs': by_name,
      'not_here': why,
    },
  )
  text = '\n'.join(
    [
      '## Scorecard',
      '',
      f"{main.name} beside the paper's A/1.",
      '',
      scorecard.table(rows, scale),
      '',
      '## Features, neurons and controls',
      '',
      *_table(by_name),
      '',
      '## What was asked, and the answers',
      '',
      *(
        line
        for name, own in made.items()
        for line in written(name, analyses()[name], own, main.name)
      ),
    ]
  )
  write_file(out / 'summary.md', text.encode())


def _made(
  made: Mapping[str, Numbers], name: str, kind: type[N]
) -> N | NotMade | None:
  """Returns an analysis' numbers, or why it has none; None if it is absent."""
  found = made.get(name)
  assert found is None or isinstance(found, kind | NotMade)
  return found


def _scale(inputs: AnalysisInputs) -> dict[str, str]:
  w, main = inputs.run.workdir, inputs.main
  least = inputs.run.config.features.least_firings
  training = read_json(w.training(main.key))
  model = read_json(w.model_result(main.model))
  return {
    'features': f'{main.table.meta["features"]:,}',
    'activations trained on': f'{training["activations_seen"]:,}',
    'tokens the transformer was trained on': f'{model["tokens"]:,}',
    'vocabulary': f'{inputs.store.tokenizer.vocab_size:,}',
    'tokens of densities': f'{main.table.meta["tokens"]:,}',
    'tokens of correlations': f'{inputs.tokens:,}',
    'live are features of': f'{least:,} firings or more, not of a lower mode',
  }


def _rows(
  inputs: AnalysisInputs, made: Mapping[str, Numbers]
) -> dict[str, dict[str, Any]]:
  """Returns each set's columns and its proxies' correlations."""
  found = {}
  for s in inputs.feature_sets():
    row: dict[str, Any] = {}
    for analysis, columns in COLUMNS.items():
      own = _of_set(made.get(analysis), s.name)
      for c in columns:
        row[f'{analysis}.{c.key}'] = None if own is None else c.of(own)
    bests = _of_set(made.get('proxies'), s.name)
    for name, best in (bests.proxies if bests else {}).items():
      row[f'proxies.{name}'] = best and best.reported
    found[s.name] = row
  return found


def _of_set(own: Any, name: str) -> Any:
  """Returns an analysis' numbers of a set of features; None without any."""
  return None if own is None or isinstance(own, NotMade) else own.sets.get(name)


def _table(by_name: dict[str, dict[str, Any]]) -> list[str]:
  proxies = sorted(
    {k for row in by_name.values() for k in row if 'proxies.' in k}
  )
  columns = [
    (f'{analysis}.{c.key}', c.label, c.form)
    for analysis, own in COLUMNS.items()
    for c in own
  ]
  columns += [(key, f'r of {key[8:]}', '.2f') for key in proxies]
  lines = [
    '| | ' + ' | '.join(label for _, label, _ in columns) + ' |',
    '|---|' + '---:|' * len(columns),
  ]
  for name, row in by_name.items():
    cells = [
      '-' if row.get(key) is None else format(row[key], form)
      for key, _, form in columns
    ]
    lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
  return lines
