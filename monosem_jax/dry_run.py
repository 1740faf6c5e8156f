"""What a run would be: sizes, memory and data, from the settings alone."""

import json
import math

import jax

from monosem_jax import config as configs, settings
from monosem_jax.check import entries, run_name, width
from monosem_jax.files import read_json
from monosem_jax.mesh import make_mesh
from monosem_jax.precision import compute_dtype
from monosem_jax.workdir import Workdir


def describe(w: Workdir) -> str:
  """The resolved config, and for every training its size, memory and data.

  Memory is analytic, per device: what the program must hold, without the
  compiler's temporaries.
  """
  mesh = make_mesh(w.config.mesh)
  store = w.store / 'manifest.json'
  contexts = (
    read_json(store)['splits']['train']['contexts'] if store.exists() else None
  )
  lines = [
    json.dumps(configs.as_dict(w.config), indent=1),
    '',
    f'mesh: {mesh.shape["data"]} data x {mesh.shape["feature"]} feature, '
    f'{jax.default_backend()}',
  ]
  if contexts is None:
    lines.append('tokens: not made yet, so epochs are not known')
  else:
    lines.append(f'tokens: {contexts:,} training contexts')
  for name, model in w.config.models.items():
    lines += ['', *_model(w.config, name, model, contexts, mesh.size)]
    names = entries(w.config)[name]
    if names:
      lines += ['', *_stream(w.config, names, model, contexts, mesh)]
  return '\n'.join(lines)


def _model(config, name, c: settings.Transformer, contexts, devices):
  V, T = config.tokenizer.vocab_size, config.text.context
  D, A = c.d_model, c.d_mlp
  block = 4 * D * D + D + 2 * D * A + A + D + 4 * D
  parameters = 2 * V * D + T * D + c.n_layers * block + 2 * D
  B = c.micro_batch or c.batch_size
  seen = c.steps * c.batch_size
  lines = [
    f'lm/{name}: {parameters:,} parameters, {c.steps:,} steps of '
    f'{c.batch_size} contexts of {T} tokens',
    f'  tokens to be seen: {seen * T:,}' + _epochs(seen, contexts),
    '  memory per device: '
    f'weights {_bytes(4 * parameters)}, moments {_bytes(8 * parameters)}, '
    f'gradients {_bytes(8 * parameters)}, '
    f'logits {_bytes(2 * 4 * B * T * V / devices)}',
  ]
  return lines


def _stream(config, names, model, contexts, mesh):
  c = config.stream
  A, P = width(model), c.positions_per_context
  R = c.contexts_per_chunk * P
  S = R // c.batch_size
  seen = c.steps * c.batch_size // P
  data, feature = mesh.shape['data'], mesh.shape['feature']
  item = compute_dtype(c.precision).itemsize
  lines = [
    f'sae: {c.steps:,} steps of {c.batch_size:,} activations of width {A}, in '
    f'{c.steps // S:,} chunks of {S} steps',
    f'  a chunk: {c.contexts_per_chunk:,} contexts x {P} positions = {R:,} '
    f'activations, {_bytes(item * R * A / data)} per device',
    f'  activations to be seen: {c.steps * c.batch_size:,} from {seen:,} '
    f'contexts' + _epochs(seen, contexts),
  ]
  if contexts is not None:
    unique = min(seen, contexts * (config.text.context // P)) * P
    lines.append(f'  unique activations: {unique:,}')
  total = item * R * A / data
  for name in names:
    F = config.dictionaries[name].features
    weights = 4 * (2 * A * F / feature + F / feature + A)
    rows = (c.micro_batch or c.batch_size) / data
    batch = 3 * 4 * rows * F / feature
    total += 4 * weights + batch
    lines.append(
      f'  {run_name(name)}: {F:,} features, {2 * A * F + F + A:,} parameters; '
      f'per device: weights {_bytes(weights)}, moments {_bytes(2 * weights)}, '
      f'gradients {_bytes(weights)}, features of a micro-batch {_bytes(batch)}'
    )
  lines.append(f'  memory per device, all in all: {_bytes(total)}')
  return lines


def _epochs(seen: int, contexts: int | None) -> str:
  return '' if contexts is None else f', {seen / contexts:.3g} epochs'


def _bytes(n: float) -> str:
  unit = min(int(math.log(max(n, 1), 1024)), 4)
  return f'{n / 1024**unit:.3g} {("B", "KiB", "MiB", "GiB", "TiB")[unit]}'
