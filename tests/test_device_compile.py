"""What is compiled ahead, kept, announced, profiled and timed."""

import re
import shutil

import jax
import jax.numpy as jnp
import program
import pytest
from jax.sharding import NamedSharding

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.compile import compile_chunk, peak_flops
from monosem_jax.device.mesh import SPECS


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """The stages lm and sae on 4 x 2 devices, with all that can be asked for."""
  workdir = tmp_path_factory.mktemp('ahead') / 'run'
  program.run('tokens', workdir)
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('JAX_NUM_CPU_DEVICES', '8')
    patch.setenv('JAX_LOG_COMPILES', '1')
    done = {
      stage: program.run(
        stage,
        workdir,
        '--config.mesh.feature=2',
        '--config.runtime.peak_flops=1e9',
        '--config.runtime.profile_start=1',
        '--config.runtime.profile_chunks=2',
      )
      for stage in ('lm', 'sae')
    }
  return workdir, done


@pytest.mark.parametrize('stage', ['lm', 'sae'])
def test_the_chunk_is_compiled_once_and_announced_before_its_first_step(
  runs, stage
):
  _, done = runs
  compiled = re.findall(
    r'Finished XLA compilation of jit\(chunk\)', done[stage].stderr
  )
  assert len(compiled) == 1
  lines = done[stage].stdout.splitlines()
  said = [i for i, line in enumerate(lines) if 'compiled in' in line]
  assert len(said) == 1
  first, second = lines[said[0] : said[0] + 2]
  assert re.fullmatch(
    rf'{stage}/A: compiled in [\d.]+ s( \(from the cache\))?; XLA \(cpu\): '
    r'arguments [\d.]+ KiB, temporaries [\d.]+ [KM]iB',
    first,
  )
  flops = r'[\d.]+ [KM]FLOP'
  assert re.fullmatch(
    rf'{stage}/A: a chunk, per device: {flops} of matrix products; a step: '
    rf'{flops}',
    second,
  )
  assert any('steps are done' in line for line in lines[: said[0]])


@pytest.mark.parametrize(
  ('run', 'units', 'rate'),
  [('lm/A', 8 * 16, 'tokens'), ('sae/A', 16 * 8, 'activations')],
)
def test_rate_and_utilisation_are_written_for_every_chunk_and_reported(
  runs, run, units, rate
):
  workdir, _ = runs
  first, *others = program.records(workdir, run, timing=True)
  # The first chunk of a session has no beginning to count from.
  assert not {'units_per_second', 'flops_per_second', 'mfu'} & set(first)
  report = program.report(workdir)
  kind, name = ('models', 'A') if run == 'lm/A' else ('dictionaries', 'A/1')
  found = report[kind][name]
  for numbers in (
    *others,
    found | {'units_per_second': found[f'{rate}_per_second']},
  ):
    chunks = numbers['units_per_second'] / units
    assert numbers['mfu'] == pytest.approx(
      numbers['flops_per_second'] / (8 * 1e9)
    )
    # FLOPs of a chunk, by hand.
    D, A, T, V, F = 16, 32, 16, 300, 48
    layer = 8 * D * D + 4 * T * D + 4 * D * A
    flops = {
      'lm/A': 3 * 8 * T * (layer + 2 * D * V),
      'sae/A': 16 * T * (layer - 2 * D * A) + 16 * 8 * 10 * A * F,
    }[run]
    assert numbers['flops_per_second'] == pytest.approx(chunks * flops)


@pytest.mark.parametrize('run', ['lm-A', 'sae-A'])
def test_a_profile_of_the_chunks_asked_for_is_left_for_tensorboard(runs, run):
  workdir, done = runs
  (trace,) = (workdir / 'profile' / run).glob('plugins/profile/*/*.xplane.pb')
  data = trace.read_bytes()
  assert b'jit_chunk' in data
  assert f'profiled: {workdir}/profile/{run}' in done[run[:-2]].stdout


def test_nothing_is_profiled_and_no_utilisation_known_unless_asked_for():
  workdir = program.finished()
  assert not (workdir / 'profile').exists()
  for run in ('lm/A', 'sae/A'):
    assert all(
      'mfu' not in r for r in program.records(workdir, run, timing=True)
    )
  report = program.report(workdir)
  assert report['models']['A']['mfu'] is None
  assert report['dictionaries']['A/1']['mfu'] is None
  assert report['dictionaries']['A/1']['flops_per_second'] > 0


def _lm(workdir):
  shutil.rmtree(workdir / 'models', ignore_errors=True)
  return program.run('lm', workdir).stdout


def test_compiled_programs_are_kept_for_the_next_run(tmp_path, monkeypatch):
  workdir, home = tmp_path / 'run', tmp_path / 'home'
  environment = program.environment()
  del environment['JAX_COMPILATION_CACHE_DIR']
  monkeypatch.setattr(program, 'environment', lambda: environment)
  environment['XDG_CACHE_HOME'] = str(home)
  off = '--config.runtime.compilation_cache='
  program.run('tokens', workdir, off)
  assert not home.exists()
  assert 'from the cache' not in _lm(workdir)
  assert [*(home / 'monosem_jax' / 'jax').iterdir()]
  again = _lm(workdir)
  assert re.search(r'lm/A: compiled in [\d.]+ s \(from the cache\)', again)


def test_a_cache_that_cannot_be_written_is_said_and_breaks_nothing(tmp_path):
  file = tmp_path / 'file'
  file.touch()
  done = program.run(
    'tokens',
    tmp_path / 'run',
    f'--config.runtime.compilation_cache={file}/cache',
  )
  (line,) = [x for x in done.stdout.splitlines() if 'compilation_cache' in x]
  assert str(file) in line
  assert 'off' in line


@pytest.mark.parametrize(
  ('override', 'why'),
  [
    ('runtime.profile_chunks=-1', 'must not be below 0'),
    ('runtime.peak_flops=-1', 'must not be below 0'),
    ('runtime.compilation_cach=x', "did you mean 'compilation_cache'"),
  ],
)
def test_a_runtime_that_cannot_be_is_refused(tmp_path, override, why):
  assert why in program.refusal(
    'all',
    f'--config={program.config()}',
    f'--workdir={tmp_path / "run"}',
    f'--config.{override}',
  )


def test_the_runtime_is_free_to_change_between_a_run_and_its_continuation(
  tmp_path,
):
  shutil.copytree(program.finished(), tmp_path / 'run')
  done = program.run(
    'all', tmp_path / 'run', '--config.runtime.peak_flops=1e12'
  )
  assert 'sae/A1: complete' in done.stdout


def test_the_state_comes_back_where_it_lay_and_is_donated():
  mesh = meshes.make_mesh(settings.Mesh(data=4, feature=2))
  with jax.set_mesh(mesh):
    state = {'W': meshes.put(mesh, jnp.ones((8, 16)), SPECS.f_NF)}
    x = meshes.abstract(mesh, (16,), jnp.float32, SPECS.replicated)

    # Left to itself, XLA would have the result replicated.
    def chunk(state, x):
      return {'W': jnp.broadcast_to(x, (8, 16)) + state['W'].mean()}, x.sum()

    program = compile_chunk(chunk, state, x)
    x = meshes.put(mesh, jnp.arange(16.0), SPECS.replicated)
    for _ in range(3):
      before = state
      state, total = program.call(state, x)
      assert before['W'].is_deleted()
    assert state['W'].sharding == NamedSharding(mesh, SPECS.f_NF)
    assert total.sharding.is_fully_replicated
    # The mean of x, three times, onto a mean of 1.
    assert float(state['W'].mean()) == 1 + 3 * 7.5
  assert program.arguments == 8 * 16 * 4 / 8 + 16 * 4


def test_the_peak_is_of_all_devices_and_unknown_on_a_cpu(monkeypatch):
  assert peak_flops(settings.Runtime(), 'float32') == 0
  assert peak_flops(settings.Runtime(peak_flops=2e9), 'float32') == 16e9

  class Device:
    device_kind = 'NVIDIA H200'

  monkeypatch.setattr(jax, 'devices', lambda: [Device()])
  runtime = settings.Runtime()
  assert peak_flops(runtime, 'bfloat16') == 8 * 989.5e12
  assert peak_flops(runtime, 'float32') == 8 * 494.5e12
  assert peak_flops(runtime, 'float64') == 0
