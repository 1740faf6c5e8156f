"""Compares features with neurons: `analysis.neurons`, for every set."""

import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from monosem_jax.analysis import figures, intervals, neurons
from monosem_jax.analysis.results.features import Neurons, SetNeurons
from monosem_jax.analysis.results.numbers import Interval
from monosem_jax.features import moments
from monosem_jax.features.featureset import LoadedSet
from monosem_jax.run.files import write_arrays
from monosem_jax.stages.analysis.declaration import Analysis
from monosem_jax.stages.analysis.inputs import (
  AnalysisInputs,
  Unavailable,
  activations,
  median,
  of_two,
)
from monosem_jax.stages.analysis.sections import features

_MEDIANS = ('kurtosis', 'diversity', 'coefficients', 'neuron_r')
_SHARES = ('single_token', 'single_document')

# Neurons listed per feature, as published.
_NEURONS = 3

# The least share of live features that need a control of equal density for the
# comparison (our choice).
_MATCHED = 0.5


def make(inputs: AnalysisInputs, out: pathlib.Path) -> Neurons:
  step = moments.make_step(of_two(inputs.dot), inputs.dot)
  tables, by_name = {}, {}
  for s, kurtosis_F, density_F in _kurtoses(inputs):
    columns = {
      'live_F': s.live_F,
      'kurtosis_F': kurtosis_F,
      'density_F': density_F,
      'single_token_F': neurons.single_token(s.table),
      'single_document_F': neurons.single_document(
        s.table, _documents(inputs, s)
      ),
      'diversity_F': neurons.diversity(s.table),
      'coefficients_F': neurons.coefficients_of(s.rows_FA),
    }
    with_neurons = _best_neurons(inputs, step, s)
    if with_neurons is not None:
      columns |= with_neurons
    tables[s.name] = columns
    write_arrays(out / f'{s.key}.npz', columns)
  control = f'{inputs.main.model}/random'
  for s in inputs.feature_sets():
    against = _against(s, tables[s.name], control, tables, inputs.main.model)
    by_name[s.name] = SetNeurons(**_numbers(tables[s.name]), **against)
  _pictures(inputs, tables, out)
  return Neurons(
    sets=by_name,
    tokens=inputs.tokens,
    unit='intervals of 95% over live features, n of them',
  )


def _kurtoses(
  inputs: AnalysisInputs,
) -> Iterator[tuple[LoadedSet, np.ndarray, np.ndarray]]:
  """Yields every set's kurtosis and density, on the same tokens."""
  powers = neurons.make_powers(activations(inputs.dot))
  for s in inputs.feature_sets():
    args = inputs.lm(s.model), s.sae
    yield (
      s,
      *neurons.kurtosis(powers, args, inputs.batches(f'kurtosis/{s.key}')),
    )


def _numbers(columns: dict) -> dict:
  """Returns medians and shares of live features, with n and intervals."""
  live_F = columns['live_F']
  live = int(live_F.sum())
  found: dict[str, float | Interval] = {'live': live, 'n': live}
  for key in _MEDIANS:
    values = columns.get(f'{key}_F', np.full(live_F.size, np.nan))[live_F]
    found[f'median_{key}'] = median(values)
    found[f'median_{key}_interval'] = intervals.of(values)
    found[f'{key}_n'] = int(np.isfinite(values).sum())
  for key in _SHARES:
    values = columns[f'{key}_F'][live_F]
    found[key] = float(values.mean()) if values.size else None
    found[f'{key}_interval'] = intervals.of(values, np.mean)
  return found


def _against(
  s: LoadedSet, columns: dict, control: str, tables: dict, model: str
) -> dict:
  """Compares the kurtosis with that of random directions of equal density.

  Kurtosis mostly restates density. A feature shows structure only by its excess
  over a random direction that fires as often.
  """
  live_F = columns['live_F']
  kurtosis_F, density_F = columns['kurtosis_F'], columns['density_F']
  found = {
    'kurtosis_density_spearman': neurons.rank_correlation(
      kurtosis_F[live_F], density_F[live_F]
    ),
    'median_kurtosis_matched': None,
    'kurtosis_matched_n': 0,
    'kurtosis_log_ratio': None,
    'kurtosis_log_ratio_interval': None,
    'kurtosis_reason': '',
  }
  if control not in tables:
    return found | {'kurtosis_reason': 'random is not among analysis.controls'}
  if s.name == control:
    return found | {'kurtosis_reason': 'it is the control'}
  if s.model != model:
    why = f'the random directions are of the model {model}'
    return found | {'kurtosis_reason': why}
  own = tables[control]
  there_C = np.isfinite(own['kurtosis_F'])
  index_F = neurons.matched(density_F, own['density_F'] * there_C)
  both_F = live_F & (index_F >= 0) & np.isfinite(kurtosis_F)
  found['kurtosis_matched_n'] = int(both_F.sum())
  if not both_F.any() or both_F.sum() < _MATCHED * live_F.sum():
    why = (
      f'{both_F.sum():,} of {live_F.sum():,} fire about as often as a random '
      'direction of the control'
    )
    return found | {'kurtosis_reason': why}
  matched_M = own['kurtosis_F'][index_F[both_F]]
  ratio_M = np.log(kurtosis_F[both_F] / matched_M)
  return found | {
    'median_kurtosis_matched': median(matched_M),
    'kurtosis_log_ratio': median(ratio_M),
    'kurtosis_log_ratio_interval': intervals.of(ratio_M),
  }


def _best_neurons(
  inputs: AnalysisInputs, step: Callable, s: LoadedSet
) -> dict[str, np.ndarray] | None:
  """Returns the neurons that correlate most with each feature.

  They are chosen on one half of the documents; the correlations are of the
  other half.
  """
  try:
    own = inputs.neurons(s.model)
  except Unavailable:
    return None
  if s.key == own.key:
    return None
  halves = [
    moments.collect(
      step,
      (inputs.lm(s.model), s.sae, own.sae),
      inputs.batches(f'neurons/{s.key}', half=half),
    )
    for half in (0, 1)
  ]
  searched, reported = halves
  best = neurons.most_correlated(searched, reported, _NEURONS)
  return best.columns() | {
    'neuron_F': best.neuron_F3[:, 0],
    'neuron_r_F': best.neuron_r_F3[:, 0],
  }


def _documents(inputs: AnalysisInputs, s: LoadedSet) -> np.ndarray:
  """Returns the document of each top example, document_FE."""
  top, split = s.table.meta['groups'][0]['count'], s.table.meta['split']
  context_FE = s.table.example_context_FE[:, :top]
  there_FE = s.table.example_stop_FE[:, :top] > 0
  index_FE = inputs.store.stream_index(split, np.where(there_FE, context_FE, 0))
  return inputs.store.document_of(
    split, index_FE, s.table.example_position_FE[:, :top]
  )


def _pictures(inputs: AnalysisInputs, tables: dict, out: pathlib.Path) -> None:
  named = {
    'kurtosis': (
      lambda x: np.log10(np.maximum(x, 1)),
      'log10 of the kurtosis of activations',
    ),
    'coefficients': (
      lambda x: x.astype(float),
      'neurons that hold 90% of the squared norm of a decoder row',
    ),
    'diversity': (
      lambda x: x.astype(float),
      'different tokens that lead the 20 top examples',
    ),
    'neuron_r': (
      lambda x: x.astype(float),
      'Pearson correlation with the nearest neuron',
    ),
  }
  for key, (scale, label) in named.items():
    figures.histogram(
      out / f'{key}.png',
      {
        name: scale(columns[f'{key}_F'][columns['live_F']])
        for name, columns in tables.items()
        if f'{key}_F' in columns
      },
      f'Live features, {inputs.tokens:,} tokens; in brackets how many.',
      label,
      bins=40,
    )


ANALYSIS = Analysis(
  order=50,
  make=make,
  numbers=Neurons,
  title='Features and neurons',
  asked='Are features sparser, purer and other than neurons?',
  answer=features.neurons,
  picture='neuron_r.png',
  view='features',
)
