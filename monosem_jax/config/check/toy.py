"""Checks the settings of the toy models."""

from monosem_jax.config import settings
from monosem_jax.config.check.rules import (
  divides,
  fraction,
  need,
  not_negative,
  positive,
)


def toy(c: settings.Toy) -> None:
  s, b, p = c.superposition, c.binary_neuron, c.penalty
  t, d = c.topics, c.planted
  where = 'toy.superposition'
  positive(where, s, 'features', 'dimensions', 'importance')
  positive(where, s, 'steps', 'batch_size', 'lr')
  need(bool(s.sparsities), f'{where}.sparsities', 'must not be empty.')
  for x in s.sparsities:
    need(0 <= x < 1, f'{where}.sparsities', f'must lie in [0, 1), not {x}.')
  where = 'toy.binary_neuron'
  need(b.features > 1, f'{where}.features', 'must be at least 2.')
  positive(where, b, 'starts', 'steps', 'lr')
  where = 'toy.penalty'
  positive(where, p, 'features', 'neurons', 'starts', 'steps', 'lr')
  _penalties(where, p.penalties)
  need(
    p.neurons <= p.features,
    f'{where}.neurons',
    f'{p.neurons} neurons must not outnumber the {p.features} features.',
  )
  where = 'toy.topics'
  positive(where, t, 'topics', 'd_model', 'd_mlp', 'steps', 'batch_size', 'lr')
  positive(where, t, 'features', 'dictionary_lr', 'dictionary_contexts')
  positive(where, t, 'chunks', 'eval_contexts', 'seeds')
  fraction(f'{where}.noise', t.noise)
  fraction(f'{where}.kept', t.kept)
  need(t.words > 1, f'{where}.words', 'must be at least 2.')
  need(
    t.context > 2,
    f'{where}.context',
    'must be at least 3: a topic, a word and the next word.',
  )
  _penalties(where, t.penalties)
  need(
    t.penalties[0] == 0,
    f'{where}.penalties',
    'the first must be 0: dictionaries are trained on that transformer.',
  )
  for x in t.l1s:
    need(x >= 0, f'{where}.l1s', f'must not be below 0, not {x}.')
  need(
    len(t.l1s) == len(t.penalties),
    f'{where}.l1s',
    f'{len(t.l1s)} must equal the number of penalties, {len(t.penalties)}: '
    'both are tuned equally finely.',
  )
  where = 'toy.planted'
  positive(where, d, 'width', 'directions', 'active', 'samples', 'features')
  positive(where, d, 'batch_size', 'alpha', 'lr', 'passes')
  positive(where, d, 'classic_passes', 'online_passes', 'held_out')
  not_negative(where, d, 'l1')
  need(bool(d.search), f'{where}.search', 'must not be empty.')
  for x in d.search:
    need(x > 0, f'{where}.search', f'must be above 0, not {x}.')
  need(
    d.active <= d.directions,
    f'{where}.active',
    f'{d.active} directions per sample exceed the {d.directions} that exist.',
  )
  divides(f'{where}.batch_size', d.batch_size, 'samples', d.samples)


def _penalties(where: str, penalties: tuple[float, ...]) -> None:
  need(bool(penalties), f'{where}.penalties', 'must not be empty.')
  for x in penalties:
    need(x >= 0, f'{where}.penalties', f'must not be below 0, not {x}.')
