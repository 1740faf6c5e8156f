"""Dry runs for accelerators that are not here: --target.

The slow ones compile tiny runs for real chips, with the compilers that
`pip install monosem_jax[targets]` brings; without these they are skipped.
"""

import json
import re
import subprocess
import sys

import program
import pytest
from compilers import needs_compilers

from monosem_jax.config.errors import UserError
from monosem_jax.device import targets

TINY = ('--config.mesh.data=2', '--config.mesh.feature=2')


@pytest.mark.parametrize(
  'name, said',
  [
    ('h10:1', "unknown hardware 'h10' (did you mean 'h100'?)"),
    ('cpu', "unknown hardware 'cpu'"),
    ('v5e:8', 'the chips along each side, as in v5e:2x2'),
    ('v5e', 'the chips along each side'),
    ('h100:2x2', 'the number of GPUs, as in h100:8'),
    ('h100:0', 'the number of GPUs, as in h100:8'),
    ('h100:12', 'a host has 8 GPUs; give a multiple'),
  ],
)
def test_what_is_no_target_is_said(name, said):
  with pytest.raises(UserError) as e:
    targets.find(name)
  assert str(e.value).startswith(f'--target={name}: ')
  assert said in str(e.value)


def test_a_missing_compiler_says_what_to_install(monkeypatch):
  def absent(*args, **kwargs):
    raise RuntimeError('JAX TPU support not installed; cannot ...')

  monkeypatch.setattr(targets.topologies, 'get_topology_desc', absent)
  with pytest.raises(UserError, match=r"pip install 'monosem_jax\[targets\]'"):
    targets.find('v5e:2x2')


def test_a_target_is_of_a_dry_run_alone(tmp_path):
  said = program.refusal(
    *program.command('all', tmp_path / 'run', '--target=h100:1')[3:]
  )
  assert said.startswith('error: --target needs --dry_run')
  assert not (tmp_path / 'run').exists()


# Compiles the two chunks of tiny.py and its features pass for a target, in a
# process of its own, and prints what is asked of them below.
LOOK = """
import json, re, sys
import jax
from monosem_jax.config import load as configs
from monosem_jax.device import mesh as meshes, targets
from monosem_jax.device.cost import Devices, collectives, dictionary, hlo
from monosem_jax.device.cost import executions as executed, estimate
from monosem_jax.device.cost import transformer
from monosem_jax.stages import programs

name, config, *overrides = sys.argv[1:]
config = configs.load(f'configs/{config}.py', overrides)
target = targets.find(name)
mesh = meshes.make_mesh(config.mesh, target.devices)
V, T = config.tokenizer.vocab_size, config.text.context
found = {'platform': target.devices[0].platform}
with jax.set_mesh(mesh):
  lm = programs.transformer_state(config.models['A'], mesh, V, T)
  state = programs.stream_state(config, 'A', ['A1'], mesh)
  c, d = config.models['A'], config.dictionaries['A1']
  sweep = programs.sweep(config, 'A', ['A1'], mesh, V, T)
  lm_memory = transformer.memory(c, V, T, Devices(**mesh.shape))
  for kind, held, memory, made in (
    (
      'lm',
      lm,
      sum(lm_memory.values()),
      programs.transformer_chunk(c, mesh, lm, T),
    ),
    (
      'sae',
      state,
      dictionary.chunk_memory(sweep),
      programs.stream_chunk(config, ['A1'], mesh, state, lm.model, T),
    ),
    (
      'features',
      [],
      0,
      programs.features_batch(
        config.features, mesh, lm.model, sweep.A, d.features, T,
        jax.numpy.dtype('bfloat16'),
      ),
    ),
  ):
    text = made.call.as_text()
    read = hlo.parse(text)
    runs = list(executed.executions(read, estimate.PHASES))
    found[kind] = {
      'arrays': len(jax.tree.leaves(held)),
      'aliased': read.aliased,
      'memory': made.arguments + made.temporaries,
      'analytic': memory,
      'dtypes': sorted(set(re.findall(r'\\b([a-z]+\\d+)\\[', text))),
      'host': [
        r.instruction.opcode for r in runs
        if re.match('infeed|outfeed|send|recv', r.instruction.opcode)
        or 'callback' in r.instruction.text
      ],
      'products': [
        [c.instructions[o].arrays[0].dtype for o in i.operands]
        for c in read.computations.values()
        for i in c.instructions.values()
        if i.opcode in ('dot', 'convolution')
      ],
      'phases': sorted({r.phase for r in runs}),
      'copied': [
        list(a.shape) for r in runs for a in r.instruction.arrays
        if r.instruction.kind == 'copy'
      ],
      'collectives': [
        [c.kind, list(c.axes), c.phase, c.bytes, c.times]
        for c in collectives.collectives(
          read, estimate.PHASES, dict(mesh.shape)
        )
      ],
      'cycles': sum(r.cycles for r in runs),
      'bytes': sum(r.traffic for r in runs),
    }
print(json.dumps(found))
"""


def python(*argv: str) -> str:
  """What a Python prints that ends well."""
  done = subprocess.run(
    [sys.executable, *argv],
    cwd=program.ROOT,
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=600,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout


def look(target: str, *overrides: str, config: str = 'tiny') -> dict:
  """What LOOK prints; compiled once for all the suite's processes."""
  asked = target, config, *overrides

  def make(path):
    path.write_text(python('-c', LOOK, *asked).splitlines()[-1])

  name = re.sub(r'\W', '_', '_'.join(asked))
  return json.loads(program.once(f'{name}.json', make).read_text())


@pytest.mark.slow
@needs_compilers
@pytest.mark.parametrize('target', ['v5e:2x2', 'v5p:2x2x1', 'h100:4'])
def test_chunks_compile_for_the_chip(target):
  found = look(target, 'mesh.data=2', 'mesh.feature=2')
  for kind in ('lm', 'sae', 'features'):
    own = found[kind]
    # Nothing is double, or asks the host; all products are narrow.
    assert 'f64' not in own['dtypes']
    assert own['host'] == []
    assert len(own['products']) >= 6
    assert {dtype for pair in own['products'] for dtype in pair} == {'bf16'}
    assert own['bytes'] > 0
    assert (own['cycles'] > 0) == target.startswith('v')
  for kind in ('lm', 'sae'):
    # The whole state stays where it lies.
    assert found[kind]['aliased'] == found[kind]['arrays']
  assert {'forward', 'train', 'resample'} <= set(found['sae']['phases'])


@pytest.mark.slow
@needs_compilers
@pytest.mark.parametrize('target', ['v5e:2x2', 'h100:4'])
def test_a_step_sums_over_devices_and_gathers_nothing_large(target):
  found = look(target, 'mesh.data=2', 'mesh.feature=2')['sae']
  F, A, rows = 256 // 2, 128, 256 // 2
  steps = [c for c in found['collectives'] if c[2] == 'train' and c[4] >= 8]
  assert {kind for kind, *_ in steps} == {'all-reduce'}
  along = {tuple(axes): 0.0 for _, axes, *_ in steps}
  for _, axes, _, size, times in steps:
    along[tuple(axes)] += size * times / 8
  # Reconstructions over the features; the gradient of all four arrays, and
  # what fired, over the rows.
  assert along['feature',] == pytest.approx(4 * A * rows, rel=0.05)
  gradient = 4 * (2 * A * F + 2 * F + A)
  assert along['data',] == pytest.approx(gradient, rel=0.05)


@pytest.mark.slow
@needs_compilers
@pytest.mark.parametrize('target', ['v5e:2x2', 'h100:4'])
def test_the_features_pass_sends_no_features_of_tokens(target):
  found = look(target, 'mesh.data=2', 'mesh.feature=2')['features']
  # Activations, in bfloat16, are gathered over the devices that share the
  # features, and what was sampled over all; f_NF would be a megabyte.
  tokens, A, F = 16 * 64, 128, 256
  sizes = [size for *_, size, _ in found['collectives']]
  assert 2 * (tokens // 2) * A in sizes
  assert max(sizes) < 4 * tokens * F / 2
  assert not any(
    kind == 'all-reduce' and size > 4 * F
    for kind, _, _, size, _ in found['collectives']
  )


@pytest.mark.slow
@needs_compilers
@pytest.mark.parametrize('target', ['v5e:1x1', 'h100:1'])
def test_a1_takes_no_more_memory_than_shapes_say(target):
  found = look(target, config='a1')
  for kind in ('lm', 'sae'):
    assert found[kind]['memory'] < 1.25 * found[kind]['analytic']
    assert found[kind]['analytic'] > 1e9


@pytest.mark.slow
@needs_compilers
@pytest.mark.parametrize('target', ['v5e:1x1', 'h100:1'])
def test_the_rows_of_a_chunk_are_not_copied(target):
  found = look(target)['sae']
  rows = 64 * 32 * 128
  large = [shape for shape in found['copied'] if _size(shape) >= rows]
  assert large == []


def _size(shape: list[int]) -> int:
  size = 1
  for n in shape:
    size *= n
  return size


@pytest.mark.slow
@needs_compilers
def test_a_dry_run_tells_of_a_slice():
  out = python(
    *('-m', 'monosem_jax.main', 'all', '--dry_run'),
    *('--config=configs/tiny.py', '--target=v5e:2x2', *TINY),
  )
  assert 'mesh: 2 data x 2 feature, TPU v5e' in out
  # The transformer, its dictionary, and the pass over its features.
  assert out.count("TPU v5e, compiler's estimates: ") == 3
  assert out.count(': fits') == 3
  assert 'all-reduce along data' in out and 'activations/s, MFU' in out


@pytest.mark.slow
@needs_compilers
def test_what_does_not_fit_is_said_and_the_rest_is_told():
  out = python(
    *('-m', 'monosem_jax.main', 'all', '--dry_run', '--target=v5e:1x1'),
    *('--config=configs/tiny.py', '--config.dictionaries.A1.features=524288'),
    *('--config.features.batch_size=256', '--config.sae.init=paper'),
    '--config.sae.resampling.steps=',
  )
  [line] = [x for x in out.splitlines() if x.startswith('features/A/1')]
  assert 'features/A/1: TOO MUCH: Ran out of memory on HBM' in line
  assert out.count(': fits') == 2
