"""Checks the settings of passes and analyses."""

from monosem_jax.config import settings
from monosem_jax.config.check.rules import (
  fraction,
  need,
  not_negative,
  one_of,
  positive,
)
from monosem_jax.config.names import main_dictionary, model_of

CONTROLS = ('neurons', 'random', 'pca', 'ica')


def passes(config: settings.Config) -> None:
  e, f = config.evaluation, config.features
  positive('evaluation', e, 'contexts', 'batch_size')
  positive('features', f, 'contexts', 'batch_size')
  positive('features', f, 'activations', 'top')
  not_negative('features', f, 'per_interval', 'bottom', 'before', 'after')
  one_of('features.split', f.split, ('train', 'val'))
  fraction('features.sample_fraction', f.sample_fraction)
  positive('features', f, 'least_firings', 'modes_apart')
  need(
    f.batch_size <= f.contexts,
    'features.batch_size',
    f'{f.batch_size} contexts per call are more than the {f.contexts} that '
    'are read (features.contexts).',
  )
  positive('site', config.site, 'context_tokens')
  positive('checkpoint', config.checkpoint, 'every_chunks', 'keep')
  not_negative('runtime', config.runtime, 'profile_start', 'profile_chunks')
  not_negative('runtime', config.runtime, 'peak_flops')


def analysis(config: settings.Config) -> None:
  a, known = config.analysis, tuple(config.dictionaries)
  for key in ('main', 'match'):
    if getattr(a, key):
      one_of(f'analysis.{key}', getattr(a, key), known)
  if a.match:
    models = {model_of(config, n) for n in (main_dictionary(config), a.match)}
    need(
      len(models) == 2
      and not config.models[model_of(config, a.match)].shuffle_of,
      'analysis.match',
      f'{a.match} must belong to a trained model other than that of '
      f'{main_dictionary(config)}, since universality compares two models.',
    )
  for kind in a.controls:
    one_of('analysis.controls', kind, CONTROLS)
  one_of('analysis.split', a.split, ('train', 'val'))
  positive('analysis', a, 'control_rows', 'ica_passes')
  positive('analysis', a, 'contexts', 'batch_size')
  positive('analysis', a, 'block_bytes')
  positive('analysis.texts', a.texts, 'documents', 'active')
  positive('analysis.proxies', a.proxies, 'floor', 'contexts')
  fraction('analysis.proxies.floor', a.proxies.floor)
  positive('analysis.splitting', a.splitting, 'threshold', 'nulls')
  for key in ('threshold', 'floor', 'purity'):
    fraction(f'analysis.splitting.{key}', getattr(a.splitting, key))
  positive('analysis.steering', a.steering, 'samples', 'tokens', 'features')
  positive('analysis.steering', a.steering, 'controls', 'contexts')
  need(bool(a.steering.doses), 'analysis.steering.doses', 'must not be empty.')
  positive('analysis.automata', a.automata, 'temperature', 'edges', 'machines')
  positive('analysis.automata', a.automata, 'contexts', 'walk', 'strength')
  positive('analysis.automata', a.automata, 'permutations', 'q', 'held_out')
  positive('analysis.automata', a.automata, 'walks')
  fraction('analysis.automata.threshold', a.automata.threshold)
  fraction('analysis.automata.q', a.automata.q)
