"""Features against neurons: `analysis.neurons`, for every run."""

import pathlib
from collections.abc import Callable

import numpy as np

from monosem_jax.analysis import figures, neurons
from monosem_jax.features import moments
from monosem_jax.files import write_arrays
from monosem_jax.stages.analysis.bench import (
  Bench,
  NotHere,
  Subject,
  activations,
  median,
  of_two,
)


def make(bench: Bench, out: pathlib.Path) -> dict:
  powers = neurons.make_powers(activations(bench.dot))
  step = moments.make_step(of_two(bench.dot), bench.dot)
  tables, runs = {}, {}
  for s in bench.subjects():
    live_F, args = s.live_F, (bench.lm(s.model), s.sae)
    columns = {
      'live_F': live_F,
      'kurtosis_F': neurons.kurtosis(
        powers, args, bench.batches(f'kurtosis/{s.name}')
      ),
      'single_token_F': neurons.single_token(s.table),
      'single_document_F': neurons.single_document(
        s.table, _documents(bench, s)
      ),
      'diversity_F': neurons.diversity(s.table),
      'coefficients_F': neurons.coefficients_of(s.rows_FA),
    }
    with_neurons = _best_neurons(bench, step, s)
    if with_neurons is not None:
      columns |= with_neurons
    tables[s.run] = columns
    write_arrays(out / f'{s.name}.npz', columns)
    runs[s.run] = {
      'live': int(live_F.sum()),
      **{f'median_{k}': _median(columns, k, live_F) for k in _MEDIANS},
      'single_token': _mean(columns['single_token_F'], live_F),
      'single_document': _mean(columns['single_document_F'], live_F),
    }
  _pictures(bench, tables, out)
  return {'runs': runs, 'tokens': bench.tokens}


_MEDIANS = ('kurtosis', 'diversity', 'coefficients', 'neuron_r')


# Neurons that are named beside a feature, as published.
_NEURONS = 3


def _best_neurons(
  bench: Bench, step: Callable, s: Subject
) -> dict[str, np.ndarray] | None:
  """The neurons that correlate most with each feature, the first one apart."""
  try:
    own = bench.neurons(s.model)
  except NotHere:
    return None
  if s.name == own.name:
    return None
  found = moments.collect(
    step,
    (bench.lm(s.model), s.sae, own.sae),
    bench.batches(f'neurons/{s.name}'),
  )
  best = neurons.most_correlated(found, _NEURONS)
  return {
    'neuron_F': best['neuron_Fk'][:, 0],
    'neuron_r_F': best['r_Fk'][:, 0],
    'neuron_F3': best['neuron_Fk'],
    'neuron_r_F3': best['r_Fk'],
    'neuron_cosine_F3': best['cosine_Fk'],
  }


def _documents(bench: Bench, s: Subject) -> np.ndarray:
  """The document of each top example, document_FE."""
  top, split = s.table.meta['groups'][0]['count'], s.table.meta['split']
  context_FE = s.table.example_context_FE[:, :top]
  there_FE = s.table.example_stop_FE[:, :top] > 0
  index_FE = bench.store.stream_index(split, np.where(there_FE, context_FE, 0))
  return bench.store.document_of(
    split, index_FE, s.table.example_position_FE[:, :top]
  )


def _median(columns: dict, key: str, live_F: np.ndarray) -> float | None:
  values = columns.get(f'{key}_F', np.zeros(0))
  return median(values[live_F] if values.size else values)


def _mean(values_F: np.ndarray, live_F: np.ndarray) -> float | None:
  return float(values_F[live_F].mean()) if live_F.any() else None


def _pictures(bench: Bench, tables: dict, out: pathlib.Path) -> None:
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
        run: scale(columns[f'{key}_F'][columns['live_F']])
        for run, columns in tables.items()
        if f'{key}_F' in columns
      },
      f'Live features, {bench.tokens:,} tokens; in brackets how many.',
      label,
      bins=40,
    )
