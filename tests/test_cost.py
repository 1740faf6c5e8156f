"""The analytic cost, against what XLA says of the compiled program."""

import dataclasses
import functools
import math
import re

import jax
import jax.numpy as jnp
import pytest

from monosem_jax.config import settings
from monosem_jax.device import cost, mesh as meshes
from monosem_jax.device.cost import Devices, dictionary, transformer
from monosem_jax.device.mesh import SPECS
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import state as states, step, stream
from monosem_jax.stages import programs
from monosem_jax.transformer import train

MESHES = [(8, 1), (4, 2), (1, 8)]


def _mesh(shape):
  return jax.make_mesh(
    shape,
    meshes.AXES,
    devices=jax.devices()[: math.prod(shape)],
    axis_types=(jax.sharding.AxisType.Auto,) * 2,
  )


def _model(**changes):
  return settings.Transformer(
    **{'steps_per_chunk': 1, 'batch_size': 16, 'precision': 'float32'} | changes
  )


TRANSFORMERS = [
  (_model(), 2_048, 128),
  (_model(n_layers=2, d_model=64, d_mlp=160, n_heads=2), 1_000, 32),
  (_model(d_model=256, d_mlp=1_024, batch_size=8), 512, 256),
]


@functools.cache
def _transformer_step(c, V, T, shape=(1, 1)):
  """One step of the transformer, compiled."""
  mesh = _mesh(shape)
  with jax.set_mesh(mesh):
    state = programs.transformer_state(c, mesh, V, T)
    return programs.transformer_chunk(c, mesh, state, T).call


def _sweep(A, F, N, *, shape=(1, 1), micro_batch=0, **changes):
  """One dictionary; a chunk is one step."""
  return dictionary.Sweep(
    stream=settings.Stream(
      contexts_per_chunk=N // 8,
      positions_per_context=8,
      micro_batches=1,
      batch_size=N,
      micro_batch=micro_batch,
      precision='float32',
    ),
    model=_model(),
    V=512,
    T=16,
    A=A,
    stacks=((settings.Dictionary(features=F, **changes),),),
    converted=frozenset(),
    devices=Devices(*shape),
    item=4,
  )


@functools.cache
def _dictionary_step(s):
  """One step of the sweep's dictionary, compiled."""
  shape = s.devices.data, s.devices.feature
  mesh = _mesh(shape)
  d, c = _only(s), s.stream
  N, G = c.batch_size, c.shuffle_groups
  M = N // (c.micro_batch or N)
  with jax.set_mesh(mesh):
    state = meshes.like(mesh, functools.partial(states.init, d, s.A))
    rows = stream.Rows(
      rows_UGrA=meshes.abstract(
        mesh, (1, G, N // G, s.A), jnp.float32, SPECS.rows_UGrA
      ),
      index_SMGn=meshes.abstract(
        mesh, (1, M, G, N // M // G), jnp.int32, SPECS.replicated
      ),
    )
    return (
      jax.jit(
        lambda state, rows: step.train_step(
          d, state, rows, rows.index_SMGn[0], Dot(jnp.dtype('float32'))
        ),
        donate_argnums=0,
        out_shardings=(jax.tree.map(lambda x: x.sharding, state), None, None),
      )
      .lower(state, rows)
      .compile()
    )


def _bytes(tree):
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def _sent(compiled):
  """Bytes that a device sends in rings, read from the compiled program."""
  sent = 0.0
  for line in compiled.as_text().splitlines():
    found = re.search(r' = (.*?) (all-reduce|all-gather)\(', line)
    if found:
      shapes = re.findall(r'(?:f|s)32\[([\d,]*)\]', found[1])
      size = 4 * sum(
        math.prod(map(int, filter(None, x.split(',')))) for x in shapes
      )
      n = _group(line)
      passes = 2 if found[2] == 'all-reduce' else 1
      sent += passes * size * (n - 1) / n
  return sent


def _all_reduce(size, n):
  """Bytes that each of n devices sends to sum `size` of them in a ring."""
  return 2 * size * (n - 1) / n


def _only(s):
  """The settings of a sweep's only dictionary."""
  ((d,),) = s.stacks
  return d


def _group(line):
  """Devices of each group of a collective, in any of the notations."""
  if found := re.search(r'replica_groups=\{\{([\d,]+)\}', line):
    return len(found[1].split(','))
  if found := re.search(r'replica_groups=\[\d+,(\d+)\]<=', line):
    return int(found[1])
  found = re.search(r'replica_groups=mesh\[(.*?)\].*?\{(.*?)\}', line)
  sizes = dict(x.split('=') for x in found[1].split(','))
  return math.prod(int(sizes[axis.strip()]) for axis in found[2].split(','))


@pytest.mark.parametrize(('c', 'V', 'T'), TRANSFORMERS)
def test_a_step_of_the_transformer_costs_what_xla_counts(c, V, T):
  compiled = _transformer_step(c, V, T)
  counted = compiled.cost_analysis()
  flops = transformer.step_flops(c, V, T, Devices())
  # Above it by what is done element by element.
  assert 0.99 < counted['flops'] / flops < 1.05
  assert _sent(compiled) == 0


@pytest.mark.parametrize('site', ['mlp', 'resid'])
@pytest.mark.parametrize('layer', [0, 1])
def test_the_forward_pass_ends_at_the_site(site, layer):
  c, T = _model(n_layers=2, site=site, site_layer=layer), 64
  init = functools.partial(
    train.init, c, vocab_size=512, context=T, separator=0
  )
  compiled = (
    jax.jit(programs.forward)
    .lower(jax.eval_shape(init).model, jax.ShapeDtypeStruct((4, T), jnp.int32))
    .compile()
  )
  counted = compiled.cost_analysis()['flops'] / (4 * T)
  assert 0.99 < counted / transformer.site_flops(c, T) < 1.05
  assert counted < 0.95 * transformer.flops(c, 512, T) or (site, layer) == (
    'resid',
    1,
  )


@pytest.mark.parametrize(
  ('A', 'F', 'N'), [(512, 2_048, 1_024), (64, 512, 512), (128, 8_192, 256)]
)
def test_a_step_of_a_dictionary_costs_what_xla_counts(A, F, N):
  s = _sweep(A, F, N, sparse='never')
  counted = _dictionary_step(s).cost_analysis()
  # Five products: with the sixth, XLA would count a fifth more.
  assert 0.99 < counted['flops'] / (N * dictionary.flops(_only(s), A)) < 1.06


def test_the_sparse_path_with_room_for_all_features_costs_the_dense_one():
  dense = settings.Dictionary(features=1_024, sparse='never')
  sparse = dataclasses.replace(dense, sparse='always', sparse_active=1_024)
  assert dictionary.flops(sparse, 64) == dictionary.flops(dense, 64)
  some = dataclasses.replace(sparse, sparse_active=64)
  # The encoder alone is a fifth of the dense five products.
  assert 0.2 < dictionary.flops(some, 64) / dictionary.flops(dense, 64) < 0.26


@pytest.mark.parametrize('shape', MESHES)
def test_devices_share_the_work_of_the_transformer_and_sum_its_gradient(shape):
  c, V, T = _model(d_model=64, d_mlp=256, n_heads=2, batch_size=64), 512, 32
  compiled = _transformer_step(c, V, T, shape)
  flops = transformer.step_flops(c, V, T, Devices(*shape))
  assert 0.99 < compiled.cost_analysis()['flops'] / flops < 1.1
  gradient = 4 * transformer.parameters(c, V, T)
  assert _sent(compiled) == pytest.approx(_all_reduce(gradient, 8), rel=0.02)


@pytest.mark.parametrize('sparse', ['never', 'always'])
@pytest.mark.parametrize('shape', MESHES)
def test_devices_share_the_work_of_a_dictionary_and_sum_two_things(
  shape, sparse
):
  s = _sweep(64, 256, 512, shape=shape, sparse=sparse, sparse_active=8)
  compiled = _dictionary_step(s)
  data, feature = shape
  if sparse == 'never':
    flops = dictionary.flops(_only(s), 64) * 512 / 8
    assert 0.99 < compiled.cost_analysis()['flops'] / flops < 1.12
  # The rows' reconstructions; the gradient, and which features fired.
  recon = 4 * 64 * 512 / data
  gradient = 4 * (2 * 64 * 256 / feature + 2 * 256 / feature + 64)
  sent = _all_reduce(recon, feature) + _all_reduce(gradient, data)
  assert _sent(compiled) == pytest.approx(sent, rel=0.02)


@pytest.mark.parametrize(('c', 'V', 'T'), TRANSFORMERS)
def test_the_memory_of_a_transformer_is_that_of_its_state(c, V, T):
  init = functools.partial(train.init, c, vocab_size=V, context=T, separator=0)
  state = jax.eval_shape(init)
  memory = transformer.memory(c, V, T, Devices())
  assert memory['weights'] == _bytes(state.model)
  # Adam's counters are scalars.
  assert 0 <= _bytes(state.opt_state) - memory['moments'] <= 16
  xla = _transformer_step(c, V, T).memory_analysis()
  assert memory['tokens'] == 4 * c.batch_size * T
  assert xla.argument_size_in_bytes == pytest.approx(
    memory['weights'] + memory['moments'] + memory['tokens'], abs=32
  )
  passing = memory['gradients'] + memory['logits'] + memory['layers']
  assert 0.7 < xla.temp_size_in_bytes / passing < 1.3


@pytest.mark.parametrize('shape', [(1, 1), (4, 2), (1, 8)])
def test_the_memory_of_a_stream_is_that_of_its_state_and_its_rows(shape):
  config = settings.Config(
    text=settings.Text(context=32),
    tokenizer=settings.Tokenizer(vocab_size=512),
    models={'A': _model()},
    stream=settings.Stream(
      contexts_per_chunk=256,
      positions_per_context=32,
      micro_batches=4,
      batch_size=2_048,
      micro_batch=1_024,
      precision='float32',
    ),
    dictionaries={
      'A0': settings.Dictionary(features=512),
      'A1': settings.Dictionary(features=512, seed=1),
      'A2': settings.Dictionary(
        features=4_096, resampling=settings.Resampling(candidates=4_096)
      ),
    },
    evaluation=settings.Evaluation(),
    features=settings.Features(),
    checkpoint=settings.Checkpoint(),
    mesh=settings.Mesh(*shape),
    runtime=settings.Runtime(),
  )
  names = list(config.dictionaries)
  mesh = _mesh(shape)
  s = programs.sweep(config, 'A', names, mesh, V=512, T=32)
  assert [len(stack) for stack in s.stacks] == [2, 1]
  held = sum(
    sum(dictionary.state_memory(s, d).values())
    for stack in s.stacks
    for d in stack
  )
  with jax.set_mesh(mesh):
    state = programs.stream_state(config, 'A', names, mesh)
    shards = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.sharding.shard_shape(x.shape), x.dtype),
      state,
    )
    # Of each dictionary some scalars, and the step.
    assert 0 <= _bytes(shards) - held <= 100
    lm = programs.transformer_state(config.models['A'], mesh, 512, 32).model
    program = programs.stream_chunk(config, names, mesh, state, lm, 32)
  memory = dictionary.stream_memory(s)
  assert memory['transformer'] == _bytes(lm)
  # XLA drops the weights behind the site.
  assert (
    held < program.arguments < held + memory['transformer'] + memory['tokens']
  )
  passing = dictionary.chunk_memory(s) - held - memory['transformer']
  assert 0.6 < program.temporaries / passing < 1.4


def test_sizes_are_written_for_a_person():
  assert cost.bytes_text(0) == '0 B'
  assert cost.bytes_text(1_536) == '1.5 KiB'
  assert cost.bytes_text(3 * 2**40) == '3 TiB'
  assert cost.flops_text(999) == '999 FLOP'
  assert cost.flops_text(2.5e13) == '25 TFLOP'
