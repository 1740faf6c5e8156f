"""Every stage on every mesh: 8 x 1, 4 x 2 and 1 x 8 devices, on few cores.

A run of one device, `alone`, is what the others are held to.
"""

import json
import math
import subprocess
import sys

import program
import pytest

MESHES = {'8x1': (8, 1), '4x2': (4, 2), '1x8': (1, 8)}
# So that groups and their contexts can be shared by eight.
SHAPE = (
  '--config.stream.contexts_per_chunk=64',
  '--config.stream.shuffle_groups=8',
  '--config.stream.micro_batches=1',
)
DEVICES = ' --xla_force_host_platform_device_count=8'


# What `serve` computes, of a work directory: a text looked at, and one drawn.
SERVED = """
import json, pathlib, sys
from monosem_jax.config import load as config
from monosem_jax.site.server import requests
from monosem_jax.stages import live, loaded
from monosem_jax.run import Run
from monosem_jax.run.workdir import Workdir

file, root, *overrides = sys.argv[1:]
run = Run(config.load(file, overrides), Workdir(pathlib.Path(root)))
found = loaded.load(run)
engine = live.Engine(found, found.tokenizer.token_strings())
looked = engine.probe(requests.Probe('A1', 'the text of a run is looked at'))
pins = [{'feature': 'A/1/0', 'value': 2, 'unit': 'max'}]
wanted = {'prompt': 'the', 'pins': pins, 'tokens': 6, 'temperature': 0}
told = list(engine.steer(requests.steer(json.dumps(wanted).encode())))
tokens = [x['default']['id'] for kind, x in told if kind == 'token']
print(json.dumps({'loss': looked['loss'][1:], 'firing': looked['firing'],
                  'tokens': tokens}))
"""


def environment(devices: bool) -> dict[str, str]:
  flags = program.QUICKLY + (DEVICES if devices else '')
  return program.environment() | {'XLA_FLAGS': flags}


def served(workdir, overrides: list[str], devices: bool) -> dict:
  """What `serve` says of a run, on some devices."""
  done = subprocess.run(
    [
      *(sys.executable, '-c', SERVED, str(program.config()), str(workdir)),
      *(x.removeprefix('--config.') for x in overrides),
    ],
    env=environment(devices),
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout.splitlines()[-1])


def run(stage: str, workdir, *more: str, devices: bool = True) -> str:
  done = subprocess.run(
    program.command(stage, workdir, *more),
    env=environment(devices),
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope='module')
def alone():
  """All stages on one device, with shapes that eight can share."""

  def make(workdir):
    run('all', workdir, *SHAPE, devices=False)

  return program.once('alone', make)


@pytest.mark.slow
@pytest.mark.parametrize('name', MESHES)
def test_all_stages_end_and_report_what_one_device_does(name, alone, tmp_path):
  data, feature = MESHES[name]
  on = [
    *SHAPE,
    f'--config.mesh.data={data}',
    f'--config.mesh.feature={feature}',
  ]
  workdir = tmp_path / name
  run('all', workdir, *on)
  got, want = (
    dict(program.numbers(json.loads((w / 'report.json').read_text())))
    for w in (workdir, alone)
  )
  assert got.keys() == want.keys() and len(want) > 50
  apart = {
    path: (got[path], x)
    for path, x in want.items()
    if not math.isclose(got[path], x, rel_tol=1e-3, abs_tol=1e-3)
  }
  assert not apart
  # What is said, and what is carried elsewhere.
  text = run('sample', workdir, *on, '--pin=A/1/0=max', '--tokens=8')
  assert 'A/1/0' in text
  said = program.once(
    'served',
    lambda path: path.write_text(
      json.dumps(served(alone, list(SHAPE), devices=False))
    ),
  )
  here, there = served(workdir, on, devices=True), json.loads(said.read_text())
  assert here['firing'] == there['firing'] and any(here['firing'])
  assert here['loss'] == pytest.approx(there['loss'], rel=1e-3)
  assert here['tokens'] == there['tokens'] and len(here['tokens']) == 6
  to = tmp_path / 'published'
  run('export', workdir, *on, '--run=A/1', f'--to={to}', '--format=anthropic')
  assert any(to.iterdir())
