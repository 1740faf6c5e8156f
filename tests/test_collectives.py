"""What the devices of a mesh say to each other, read from the compiled chunk.

`python -m pytest tests/test_collectives.py -s` prints it, with bytes per step.
"""

import collections
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.mesh import SPECS
from monosem_jax.dictionary import state as states, train
from monosem_jax.dictionary.stream import harvest
from monosem_jax.transformer import train as lm_train

# As named scopes and XLA name them; a branch is a resampling's.
PARTS = 'cond', 'forward', 'shuffle', 'train'
MESHES = [(8, 1), (4, 2), (1, 8)]
A, F, T, V, C, P, N = 128, 256, 32, 512, 256, 16, 512
LM = settings.Transformer(d_model=32, d_mlp=A, n_heads=2, precision='float32')


def stream(micro_batches: int) -> settings.Stream:
  return settings.Stream(
    contexts_per_chunk=C,
    positions_per_context=P,
    shuffle_groups=8,
    micro_batches=micro_batches,
    batch_size=N,
    precision='float32',
  )


def dictionary(sparse: str) -> settings.Dictionary:
  return settings.Dictionary(
    features=F,
    sparse=sparse,
    resampling=settings.Resampling(steps=(4,), window=3, candidates=2_048),
  )


def forward(lm, tokens_BT):
  return lm(tokens_BT)[1]


def model():
  return lm_train.init(LM, vocab_size=V, context=T, separator=0).model


def batch(mesh):
  sharding = jax.sharding.NamedSharding(mesh, SPECS.tokens_CT)
  return [
    jax.ShapeDtypeStruct(shape, jnp.int32, sharding=sharding)
    for shape in ((C, T), (C,), (C,))
  ]


@functools.cache
def collectives(shape, sparse: str) -> dict[str, list[tuple[str, int]]]:
  """(kind, bytes that a device receives) of each, by the chunk's part."""
  mesh = meshes.make_mesh(settings.Mesh(*shape))
  with jax.set_mesh(mesh):
    dictionaries = {'A1': dictionary(sparse)}
    state = meshes.like(mesh, lambda: states.init_stream(dictionaries, A))
    chunk = train.make_chunk(stream(2), dictionaries, forward)
    lowered = chunk.lower(state, meshes.like(mesh, model), *batch(mesh))
  found = collections.defaultdict(list)
  for line in lowered.compile().as_text().splitlines():
    match = re.search(
      r'= (.*?) (all-gather|all-reduce|all-to-all|collective-permute|'
      r'reduce-scatter)(?:-start)?\(',
      line,
    )
    if match:
      where = re.search(r'op_name="([^"]*)"', line)
      part = 'nameless'
      if where:
        part = next(p for p in PARTS if p in where[1])
      found[part].append((match[2], size(match[1])))
  return found


def size(shapes: str) -> int:
  widths = {'f32': 4, 's32': 4, 'u32': 4, 'pred': 1}
  return sum(
    widths[kind] * int(np.prod([int(n) for n in dims.split(',') if n] or [1]))
    for kind, dims in re.findall(r'(f32|s32|u32|pred)\[([\d,]*)\]', shapes)
  )


@pytest.mark.parametrize('sparse', ['never', 'always'])
@pytest.mark.parametrize('shape', MESHES)
def test_forward_gathers_rows_once_and_steps_only_add_up(shape, sparse):
  found, (data, feature) = collectives(shape, sparse), shape
  for part in (*PARTS, 'nameless'):
    by_kind = collections.Counter()
    for kind, n in found[part]:
      by_kind[kind] += n
    said = ', '.join(f'{k} {n:,} B' for k, n in by_kind.items()) or 'nothing'
    name = {'cond': 'resampling', 'train': 'step'}.get(part, part)
    print(f'{data} x {feature}, sparse {sparse:6} {name:10}: {said}')
  # The chunk's rows, over `feature` alone: none moves over `data`.
  rows = 4 * C * P * A // data
  assert found['forward'] == ([('all-gather', rows)] if feature > 1 else [])
  assert found['shuffle'] == []
  # No gather of a dictionary or of rows: sums alone.
  kinds = {kind for kind, _ in found['train']}
  assert kinds == {'all-reduce'}
  step = sum(n for _, n in found['train'])
  own = F // feature
  gradient = 4 * (2 * A * own + own + A) if data > 1 else 0
  recon = 4 * A * N // data if feature > 1 else 0
  # Firings per feature, numbers of the step, the density histogram.
  small = 4 * (2 * own + N + A + 64)
  assert gradient + recon <= step <= gradient + recon + small
  # A resampling gathers a number per candidate and a row per feature, never
  # the candidates themselves.
  assert sum(n for _, n in found['cond']) < 4 * N * A * 4
  # What XLA of jax 0.12 moves out of a branch loses its name: the numbers of a
  # chunk's rows, which a resampling looks up.
  assert found['nameless'] in ([], [('all-gather', 4 * C * P)])


@pytest.mark.parametrize('shape', MESHES)
def test_each_device_runs_its_share_of_the_forward_pass(shape):
  c = stream(1)  # a loop's body would be counted once

  def flops(mesh):
    run = jax.jit(
      functools.partial(harvest, c, forward, dtype=jnp.dtype('float32'))
    )
    args = (meshes.like(mesh, model), *batch(mesh))
    return run.lower(*args).compile().cost_analysis()['flops']

  mesh = meshes.make_mesh(settings.Mesh(*shape))
  with jax.set_mesh(mesh):
    share = flops(mesh)
  one = jax.make_mesh(
    (1, 1),
    meshes.AXES,
    axis_types=(jax.sharding.AxisType.Auto,) * 2,
    devices=jax.devices()[:1],
  )
  with jax.set_mesh(one):
    total = flops(one)
  print(f'{shape}: {share:,.0f} of {total:,.0f} FLOPs')
  assert share == pytest.approx(total / 8, rel=0.05)
