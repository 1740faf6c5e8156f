"""Checks the settings of text, models, streams and dictionaries."""

from monosem_jax.config import settings
from monosem_jax.config.check.rules import (
  betas,
  divides,
  fraction,
  need,
  not_negative,
  one_of,
  positive,
)

PRECISIONS = ('auto', 'float32', 'bfloat16')
# Settings that a shuffled copy shares with its model.
_SHAPE = (
  *('n_layers', 'd_model', 'd_mlp', 'n_heads', 'activation', 'site'),
  *('site_layer', 'attend_across_documents'),
)


def text(text: settings.Text, tokenizer: settings.Tokenizer) -> None:
  positive('text', text, 'context', 'contexts_per_record', 'max_document_chars')
  need(text.context > 1, 'text.context', 'must be at least 2 tokens.')
  need(
    0 < text.val_fraction < 1,
    'text.val_fraction',
    f'must lie between 0 and 1, not {text.val_fraction}: evaluation needs '
    'held-out documents.',
  )
  for subset, kept in text.keep.items():
    fraction(f'text.keep.{subset}', kept)
  need(
    257 <= tokenizer.vocab_size <= 65_536,
    'tokenizer.vocab_size',
    f'must lie from 257 (all bytes and a separator) to 65,536, not '
    f'{tokenizer.vocab_size}.',
  )


def model(where: str, name: str, c: settings.Transformer) -> None:
  need(
    name.isidentifier() and not name[-1].isdigit(),
    where,
    'the name of a model must be a word that does not end in a digit.',
  )
  positive(where, c, 'n_layers', 'd_model', 'd_mlp', 'n_heads', 'steps')
  positive(where, c, 'batch_size', 'lr', 'clip_norm', 'steps_per_chunk')
  positive(where, c, 'eval_contexts')
  not_negative(where, c, 'warmup_steps', 'weight_decay', 'micro_batch')
  not_negative(where, c, 'activation_penalty')
  betas(where, c)
  divides(f'{where}.n_heads', c.n_heads, 'd_model', c.d_model)
  if c.micro_batch:
    divides(f'{where}.micro_batch', c.micro_batch, 'batch_size', c.batch_size)
  divides(f'{where}.steps_per_chunk', c.steps_per_chunk, 'steps', c.steps)
  one_of(f'{where}.activation', c.activation, ('relu', 'gelu'))
  one_of(f'{where}.site', c.site, ('mlp', 'resid'))
  need(
    c.activation_penalty == 0 or c.site == 'mlp',
    f'{where}.activation_penalty',
    f'needs the site mlp; the site is {c.site!r}.',
  )
  one_of(f'{where}.precision', c.precision, PRECISIONS)
  need(
    0 <= c.site_layer < c.n_layers,
    f'{where}.site_layer',
    f'{c.site_layer} is not a layer; layers are 0 to {c.n_layers - 1}.',
  )


def shuffled(config: settings.Config, name: str) -> None:
  where, c = f'models.{name}.shuffle_of', config.models[name]
  trained = [n for n, m in config.models.items() if not m.shuffle_of]
  if not c.shuffle_of:
    return
  one_of(where, c.shuffle_of, tuple(trained))
  other = config.models[c.shuffle_of]
  for key in _SHAPE:
    need(
      getattr(c, key) == getattr(other, key),
      f'models.{name}.{key}',
      f'{getattr(c, key)!r}, but it is a shuffled copy of '
      f'models.{c.shuffle_of}, which has {getattr(other, key)!r}.',
    )


def stream(config: settings.Config) -> None:
  c, T = config.stream, config.text.context
  positive('stream', c, 'contexts_per_chunk', 'positions_per_context')
  positive('stream', c, 'shuffle_groups', 'micro_batches', 'batch_size')
  positive('stream', c, 'steps')
  not_negative('stream', c, 'micro_batch')
  one_of('stream.precision', c.precision, PRECISIONS)
  one_of('stream.stack', c.stack, ('map', 'vmap'))
  need(
    c.positions_per_context <= T,
    'stream.positions_per_context',
    f'{c.positions_per_context} positions cannot be sampled from a context of '
    f'{T} tokens (text.context).',
  )
  rows = c.contexts_per_chunk * c.positions_per_context
  divides(
    'stream.batch_size',
    c.batch_size,
    'the rows of a chunk (contexts_per_chunk x positions_per_context)',
    rows,
  )
  divides(
    'stream.steps: the steps of a chunk',
    rows // c.batch_size,
    'stream.steps',
    c.steps,
  )
  divides(
    'stream.shuffle_groups x stream.micro_batches',
    c.shuffle_groups * c.micro_batches,
    'contexts_per_chunk',
    c.contexts_per_chunk,
  )
  micro = c.micro_batch or c.batch_size
  divides('stream.micro_batch', micro, 'batch_size', c.batch_size)
  divides('stream.shuffle_groups', c.shuffle_groups, 'the micro-batch', micro)


def dictionary(
  where: str, c: settings.Dictionary, stream: settings.Stream
) -> None:
  rows = stream.contexts_per_chunk * stream.positions_per_context
  positive(where, c, 'features', 'lr', 'median_rows')
  positive(where, c, 'calibration_steps', 'calibration_lr')
  not_negative(where, c, 'l1', 'l1_target_l0', 'clip_norm')
  positive(where, c, 'decoder_norm')
  betas(where, c)
  fraction(f'{where}.l1_warmup', c.l1_warmup)
  fraction(f'{where}.lr_decay', c.lr_decay)
  need(
    c.init != 'data' or c.features <= rows,
    f'{where}.init',
    f'each of {c.features} features needs an input, but the first chunk has '
    f'only {rows} (stream.contexts_per_chunk x positions_per_context).',
  )
  need(
    0 < c.fires_on < 1,
    f'{where}.fires_on',
    f'must lie between 0 and 1, not {c.fires_on}.',
  )
  one_of(f'{where}.normalize', c.normalize, ('none', 'unit'))
  one_of(f'{where}.sparse', c.sparse, ('auto', 'always', 'never'))
  positive(where, c, 'sparse_active')
  need(
    c.l1_target_l0 == 0 or (c.l1 > 0 and c.l1_target_l0 < c.features),
    f'{where}.l1_target_l0',
    'needs a positive l1 and a target below the number of features.',
  )
  r, where = c.resampling, f'{where}.resampling'
  if not r.steps:
    return
  positive(where, r, 'window', 'candidates', 'encoder_scale')
  one_of(f'{where}.placement', r.placement, ('paper', 'residual'))
  one_of(f'{where}.loss', r.loss, ('total', 'mse'))
  one_of(f'{where}.subtract', r.subtract, ('none', 'decoder_bias'))
  need(min(r.steps) > 0, f'{where}.steps', 'every step must be above 0.')
  need(
    r.candidates <= rows,
    f'{where}.candidates',
    f'{r.candidates} inputs are more than the {rows} rows of a chunk.',
  )
  divides(
    f'{where}: stream.batch_size', stream.batch_size, 'candidates', r.candidates
  )
  need(
    c.features <= r.candidates,
    f'{where}.candidates',
    f'{r.candidates} inputs are too few for {c.features} features, which may '
    'all be dead. Raise the candidates (and the rows of a chunk).',
  )
