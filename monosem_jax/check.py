"""What a config may not say: impossible values and combinations, up front."""

import re
from collections.abc import Mapping

from monosem_jax import settings
from monosem_jax.errors import UserError, nearest
from monosem_jax.precision import PRECISIONS

SOURCES = ('installed', 'jsonl', 'text', 'tfds', 'array_record', 'parquet')


def check(config: settings.Config) -> None:
  """Raises UserError at the first thing that cannot be."""
  _text(config.text, config.tokenizer)
  if not config.models:
    raise UserError('config: models names no model; add models.A.')
  for name, model in config.models.items():
    _model(f'models.{name}', name, model)
  _stream(config)
  for name, dictionary in config.dictionaries.items():
    model_of(config, name)
    _dictionary(f'dictionaries.{name}', dictionary, config.stream)
  _passes(config)


def model_of(config: settings.Config, dictionary: str) -> str:
  """The model a dictionary belongs to: `A1` is run 1 on model `A`."""
  match = re.fullmatch(r'(.*?)(\d+)', dictionary)
  if not match or match[1] not in config.models:
    raise UserError(
      f'config: dictionaries.{dictionary}: the key must be the name of a model '
      f'and the number of a run, such as {next(iter(config.models))}1.'
    )
  return match[1]


def run_name(dictionary: str) -> str:
  """The paper's name of a dictionary's run: `A/1` for the key `A1`."""
  return re.sub(r'(\d+)$', r'/\1', dictionary)


def width(model: settings.Transformer) -> int:
  """A: the width of the activations that a dictionary decomposes."""
  return model.d_mlp if model.site == 'mlp' else model.d_model


def _need(ok: bool, where: str, problem: str) -> None:
  if not ok:
    raise UserError(f'config: {where}: {problem}')


def _one_of(where: str, value: str, known: tuple[str, ...]) -> None:
  _need(value in known, where, f'unknown {value!r}{nearest(value, known)}.')


def _positive(where: str, part, *names: str) -> None:
  for name in names:
    value = getattr(part, name)
    _need(value > 0, f'{where}.{name}', f'must be above 0, not {value}.')


def _not_negative(where: str, part, *names: str) -> None:
  for name in names:
    value = getattr(part, name)
    _need(value >= 0, f'{where}.{name}', f'must not be below 0, not {value}.')


def _fraction(where: str, value: float) -> None:
  _need(0 <= value <= 1, where, f'must be a fraction of 1, not {value}.')


def _divides(where: str, small: int, of: str, large: int) -> None:
  _need(
    small > 0 and large % small == 0,
    where,
    f'{small} must divide {of}, which is {large}.',
  )


def _betas(where: str, part) -> None:
  for name in ('beta1', 'beta2'):
    value = getattr(part, name)
    _need(
      0 <= value < 1, f'{where}.{name}', f'must lie in [0, 1), not {value}.'
    )


def _text(text: settings.Text, tokenizer: settings.Tokenizer) -> None:
  _one_of('text.source', text.source, SOURCES)
  _need(
    text.source == 'installed' or bool(text.paths),
    'text.paths',
    f'the source {text.source!r} needs at least one path.',
  )
  _positive(
    'text', text, 'context', 'contexts_per_record', 'max_document_chars'
  )
  _need(text.context > 1, 'text.context', 'must be at least 2 tokens.')
  _need(
    0 < text.val_fraction < 1,
    'text.val_fraction',
    f'must lie between 0 and 1, not {text.val_fraction}: a run is measured on '
    'held-out documents.',
  )
  for subset, fraction in text.keep.items():
    _fraction(f'text.keep.{subset}', fraction)
  _need(
    257 <= tokenizer.vocab_size <= 65_536,
    'tokenizer.vocab_size',
    f'must lie in 257 (all bytes and a separator) to 65,536, not '
    f'{tokenizer.vocab_size}.',
  )


def _model(where: str, name: str, c: settings.Transformer) -> None:
  _need(
    name.isidentifier() and not name[-1].isdigit(),
    where,
    'the name of a model must be a word that does not end in a digit.',
  )
  _positive(where, c, 'n_layers', 'd_model', 'd_mlp', 'n_heads', 'steps')
  _positive(where, c, 'batch_size', 'lr', 'clip_norm', 'steps_per_chunk')
  _positive(where, c, 'eval_contexts')
  _not_negative(where, c, 'warmup_steps', 'weight_decay', 'micro_batch')
  _betas(where, c)
  _divides(f'{where}.n_heads', c.n_heads, 'd_model', c.d_model)
  if c.micro_batch:
    _divides(f'{where}.micro_batch', c.micro_batch, 'batch_size', c.batch_size)
  _divides(f'{where}.steps_per_chunk', c.steps_per_chunk, 'steps', c.steps)
  _one_of(f'{where}.activation', c.activation, ('relu', 'gelu'))
  _one_of(f'{where}.site', c.site, ('mlp', 'resid'))
  _one_of(f'{where}.precision', c.precision, PRECISIONS)
  _need(
    0 <= c.site_layer < c.n_layers,
    f'{where}.site_layer',
    f'{c.site_layer} is not a layer; there are {c.n_layers}, from 0.',
  )


def _stream(config: settings.Config) -> None:
  c, T = config.stream, config.text.context
  _positive('stream', c, 'contexts_per_chunk', 'positions_per_context')
  _positive('stream', c, 'shuffle_groups', 'micro_batches', 'batch_size')
  _positive('stream', c, 'steps')
  _not_negative('stream', c, 'micro_batch')
  _one_of('stream.precision', c.precision, PRECISIONS)
  _one_of('stream.stack', c.stack, ('map', 'vmap'))
  _need(
    c.positions_per_context <= T,
    'stream.positions_per_context',
    f'{c.positions_per_context} positions cannot be sampled from a context of '
    f'{T} tokens (text.context).',
  )
  rows = c.contexts_per_chunk * c.positions_per_context
  _divides(
    'stream.batch_size',
    c.batch_size,
    'the rows of a chunk (contexts_per_chunk x positions_per_context)',
    rows,
  )
  _divides(
    'stream.steps: the steps of a chunk',
    rows // c.batch_size,
    'stream.steps',
    c.steps,
  )
  _divides(
    'stream.shuffle_groups x stream.micro_batches',
    c.shuffle_groups * c.micro_batches,
    'contexts_per_chunk',
    c.contexts_per_chunk,
  )
  micro = c.micro_batch or c.batch_size
  _divides('stream.micro_batch', micro, 'batch_size', c.batch_size)
  _divides('stream.shuffle_groups', c.shuffle_groups, 'the micro-batch', micro)


def _dictionary(
  where: str, c: settings.Dictionary, stream: settings.Stream
) -> None:
  rows = stream.contexts_per_chunk * stream.positions_per_context
  _positive(where, c, 'features', 'lr', 'median_rows')
  _positive(where, c, 'calibration_steps', 'calibration_lr')
  _not_negative(where, c, 'l1', 'l1_target_l0', 'clip_norm')
  _positive(where, c, 'decoder_norm')
  _betas(where, c)
  _fraction(f'{where}.l1_warmup', c.l1_warmup)
  _fraction(f'{where}.lr_decay', c.lr_decay)
  _one_of(f'{where}.recipe', c.recipe, ('paper', 'april'))
  _one_of(f'{where}.normalize', c.normalize, ('none', 'unit'))
  _one_of(f'{where}.sparse', c.sparse, ('auto', 'always', 'never'))
  _positive(where, c, 'sparse_active')
  _need(
    c.l1_target_l0 == 0 or (c.l1 > 0 and c.l1_target_l0 < c.features),
    f'{where}.l1_target_l0',
    'needs a positive l1 to start from and a target below the features.',
  )
  r, where = c.resampling, f'{where}.resampling'
  if not r.steps:
    return
  _need(
    c.recipe != 'april',
    f'{where}.steps',
    'the recipe `april` resamples nothing: set them to ().',
  )
  _positive(where, r, 'window', 'candidates', 'encoder_scale')
  _one_of(f'{where}.loss', r.loss, ('total', 'mse'))
  _one_of(f'{where}.subtract', r.subtract, ('none', 'decoder_bias'))
  _need(
    min(r.steps) > 0, f'{where}.steps', 'a step to resample at must be above 0.'
  )
  _need(
    r.candidates <= rows,
    f'{where}.candidates',
    f'{r.candidates} inputs are more than the {rows} rows of a chunk.',
  )
  _divides(
    f'{where}: stream.batch_size', stream.batch_size, 'candidates', r.candidates
  )
  _need(
    c.features <= r.candidates,
    f'{where}.candidates',
    f'fewer inputs ({r.candidates}) than features ({c.features}): were all '
    'dead, there would be too few to draw. Raise the candidates (and the rows '
    'of a chunk).',
  )


def _passes(config: settings.Config) -> None:
  e, f = config.evaluation, config.features
  _positive('evaluation', e, 'contexts', 'batch_size')
  _positive('features', f, 'contexts', 'batch_size', 'active_per_token')
  _positive('features', f, 'activations', 'top')
  _not_negative('features', f, 'per_interval', 'bottom', 'before', 'after')
  _one_of('features.split', f.split, ('train', 'val'))
  _fraction('features.sample_fraction', f.sample_fraction)
  _need(
    f.batch_size <= f.contexts,
    'features.batch_size',
    f'{f.batch_size} contexts of a call are more than the {f.contexts} that '
    'are read (features.contexts).',
  )
  _positive('checkpoint', config.checkpoint, 'every_chunks', 'keep')
  _not_negative('runtime', config.runtime, 'profile_start', 'profile_chunks')
  _not_negative('runtime', config.runtime, 'peak_flops')


def entries(config: settings.Config) -> Mapping[str, list[str]]:
  """The dictionaries of each model, in the config's order."""
  found = {name: [] for name in config.models}
  for name in config.dictionaries:
    found[model_of(config, name)].append(name)
  return found
