"""The parts of the stage `toy` that train no transformer."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from monosem_jax.analysis import figures, planted as planted_data, toy
from monosem_jax.config import settings
from monosem_jax.run.files import write_arrays

Made = tuple[dict[str, Any], str]


def superposition(
  c: settings.Superposition,
  seed: int,
  out: pathlib.Path,
  advance: Callable[[], Any],
) -> Made:
  found = toy.superpose(c, seed)
  write_arrays(out / 'arrays.npz', found)
  sparsity = [f'{s:g}' for s in c.sparsities]
  figures.bars(
    out / 'represented.png',
    sparsity,
    {'features of squared norm above 1/2': found['represented_Z']},
    f'The toy model of superposition: {c.features} features of falling '
    f'importance (each {c.importance:g} of the one before) in {c.dimensions} '
    f'dimensions, a model for each sparsity, {c.steps:,} steps of '
    f'{c.batch_size:,} samples.',
    'share of samples in which a feature is 0',
    'features represented',
  )
  figures.heat(
    out / 'dimensionality.png',
    found['dimensionality_ZF'],
    sparsity,
    [str(i) for i in range(c.features)],
    f'Which share of one of {c.dimensions} dimensions each feature has for '
    'itself: 1 is a direction of its own, 1/2 two opposite features in one.',
    'feature, from the most important',
    'share of samples in which a feature is 0',
    'dimensions',
  )
  advance()
  kept_Z = found['represented_Z']
  return (
    {
      'features': c.features,
      'dimensions': c.dimensions,
      'sparsities': list(c.sparsities),
      'represented': kept_Z.tolist(),
      'dimensions_per_feature': found['dimensions_per_feature_Z'].tolist(),
      'budget': {
        'of': 'each sparsity, from one start and on one stream of draws',
        'steps': c.steps,
        'samples': c.steps * c.batch_size,
        'parameters': c.features * (c.dimensions + 1),
      },
    },
    f'{kept_Z[0]} features kept in {c.dimensions} dimensions where each is 0 '
    f'in {c.sparsities[0]:.0%} of the samples, {kept_Z[-1]} at '
    f'{c.sparsities[-1]:.0%}; {c.steps:,} steps and '
    f'{c.steps * c.batch_size:,} samples at each',
  )


def binary_neuron(
  c: settings.BinaryNeuron,
  seed: int,
  out: pathlib.Path,
  advance: Callable[[], Any],
) -> Made:
  found = toy.binary_neuron(c, seed)
  write_arrays(out / 'arrays.npz', found)
  count = range(c.features + 1)
  came_to = np.bincount(found['fires_for_Z'], minlength=len(count))
  figures.bars(
    out / 'losses.png',
    [str(k) for k in count],
    {'closed form': found['closed_form'], 'optimised': found['optimised']},
    f'One binary neuron and {c.features} features that exclude one another, '
    'equally likely. Where its input weights are learned as well, from '
    f'{c.starts} random starts, it came to fire for '
    + ', '.join(f'{k} of them in {n}' for k, n in enumerate(came_to) if n)
    + '.',
    'features the neuron fires for',
    'cross-entropy (nats)',
  )
  advance()
  best = int(found['optimised'].argmin())
  return (
    {
      'features': c.features,
      'closed_form': found['closed_form'].tolist(),
      'optimised': found['optimised'].tolist(),
      'starts': c.starts,
      'starts_that_fire_for': came_to.tolist(),
      'budget': {
        'of': 'each neuron, on the exact loss',
        'steps': c.steps,
        'parameters': {'held': 2 * c.features, 'learned': 3 * c.features},
      },
    },
    f'a neuron for 1 of {c.features} features costs '
    f'{found["optimised"][1]:.3f} nats (closed form '
    f'{found["closed_form"][1]:.3f}), one for {best} '
    f'{found["optimised"][best]:.3f} ({found["closed_form"][best]:.3f}); '
    f'{c.steps:,} steps each',
  )


def penalty(
  c: settings.Penalty,
  seed: int,
  out: pathlib.Path,
  advance: Callable[[], Any],
) -> Made:
  found = toy.penalise(c, seed)
  write_arrays(out / 'arrays.npz', found)
  strengths = [f'{p:g}' for p in c.penalties]
  what = (
    f'{c.features} features that exclude one another and {c.neurons} ReLU '
    f'neurons, the best of {c.starts} starts at each penalty. '
  )
  silent_Z = found['silent_Z'] / c.features
  figures.bars(
    out / 'shares.png',
    strengths,
    {
      'neurons that fire on more than one feature': found['shared_Z'],
      'neurons that fire on a feature, mean': found['active_Z'] / c.neurons,
      'features on which no neuron fires': silent_Z,
    },
    what + 'Shares are of live neurons, of all neurons, and of features.',
    'penalty on activations (nats per unit of effect)',
    'share',
  )
  figures.bars(
    out / 'losses.png',
    strengths,
    {
      'loss': found['loss_Z'],
      'with the penalty': found['objective_Z'],
      'of neurons with one feature each': found['monosemantic_objective_Z'],
    },
    what + 'The last bar includes the penalty, too.',
    'penalty on activations (nats per unit of effect)',
    'cross-entropy (nats)',
  )
  advance()
  shared_Z = found['shared_Z'] > 0
  last = int(np.flatnonzero(shared_Z)[-1]) if shared_Z.any() else None
  # Biases and output rows. Monosemantic neurons read one feature each.
  rest = c.neurons + c.neurons * c.features + c.features
  return (
    {
      'features': c.features,
      'neurons': c.neurons,
      'penalties': list(c.penalties),
      **{
        name.removesuffix('_Z'): x.tolist()
        for name, x in found.items()
        if x.ndim == 1
      },
      'budget': {
        'of': 'either network at each penalty, on the exact loss',
        'starts': c.starts,
        'steps': c.steps,
        'parameters': {
          'free': rest + c.features * c.neurons,
          'held': rest + c.neurons,
        },
        'chosen_by': 'none is chosen: all penalties are told of, and of each '
        'the start of the lowest objective',
      },
    },
    (
      'no neuron is shared'
      if last is None
      else f'neurons are shared up to a penalty of {strengths[last]}, at which '
      f'{found["silent_Z"][last]} of {c.features} features are left to none'
    )
    + f'; the best of {c.starts} starts of {c.steps:,} steps at each penalty, '
    'of neurons held to a feature each as well',
  )


def planted(
  c: settings.Planted,
  seed: int,
  out: pathlib.Path,
  advance: Callable[[], Any],
) -> Made:
  table = planted_data.compare(c, seed)
  figures.bars(
    out / 'recovered.png',
    [row['name'] for row in table],
    {
      'cosine with the nearest atom, mean': np.array(
        [r['recovered'] for r in table]
      ),
      'found: a cosine above 0.9': np.array([r['found'] for r in table]),
    },
    f'{c.directions} planted directions in {c.width} dimensions, {c.active:g} '
    f'of them in a sample on average, {c.samples:,} samples, {c.features} '
    'atoms each. Rows seen, and seconds without compiling: '
    + '; '.join(
      f'{row["name"]} {row["rows"]:,}, {row["seconds"]:.1f}' for row in table
    )
    + f'. Of {len(c.search)} penalties each, the one that explains most of '
    f'{c.held_out:,} held-out samples.',
    'learner',
    'of the planted directions',
  )
  advance()
  return (
    {
      'directions': c.directions,
      'width': c.width,
      'learners': table,
      'budget': {
        'samples': c.samples,
        'atoms': c.features,
        'search': list(c.search),
        'chosen_by': 'what the fewest atoms of a sample, by matching pursuit, '
        f'explain of {c.held_out:,} held-out samples, for all alike; the '
        'planted directions have no part in it',
        'not_equal': 'rows seen and seconds, which stand beside each learner',
      },
    },
    'planted directions found: '
    + '; '.join(_learner(row) for row in table)
    + f'. Penalties are chosen of {len(c.search)} each by one rule on held-out '
    'samples',
  )


def _learner(row: dict[str, Any]) -> str:
  if row['penalty'] is None:
    return f'{row["name"]} {row["found"]:.0%}'
  return (
    f'{row["name"]} {row["found"]:.0%} (penalty {row["penalty"]:g}, '
    f'{row["rows"]:,} rows, {row["seconds"]:.1f} s)'
  )
