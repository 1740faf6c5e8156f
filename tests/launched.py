"""The scripts of launch/, and stand-ins for the machines they command.

The stand-in for gcloud has two workers, each a folder, in which it runs what it
is told to; the program is a stand-in, too, and ends with the codes it is given.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import program

LAUNCH = program.ROOT / 'launch'
RUN = [
  *('all', '--config=configs/a1.py', '--workdir=/mnt/shared/a1'),
  "--config.text.paths=it's/*.zst",
]
# What stands in for the outer world. Each notes its calls in $FAKE/calls and
# takes the next answer from a file there.

COMMON = f"""#!{sys.executable}
import json, os, pathlib, shutil, signal, subprocess, sys, time

fake = pathlib.Path(os.environ['FAKE'])


def note(*what):
  with open(fake / 'calls', 'a') as f:
    f.write(json.dumps(what) + '\\n')


def answer(path):
  first, *rest = path.read_text().split()
  path.write_text(' '.join(rest or [first]))
  return first


"""
GCLOUD = """
note('gcloud', *sys.argv[1:])
assert sys.argv[1:4] == ['compute', 'tpus', 'tpu-vm'], sys.argv
verb, *rest = sys.argv[4:]
options = dict(a.partition('=')[::2] for a in rest if a.startswith('--'))
if verb == 'describe':
  state = answer(fake / 'states')
  if state == 'NONE':
    sys.exit('ERROR: (gcloud) NOT_FOUND')
  print(state)
elif verb == 'scp':
  for worker in ('0', '1'):
    shutil.copy(rest[0], fake / worker)
elif verb == 'ssh':
  processes = [
    subprocess.Popen(
      ['bash', '-c', options['--command']],
      cwd=fake / worker,
      env=os.environ | {'WORKER': worker},
    )
    for worker in ('0', '1')
  ]
  sys.exit(next((c for c in [p.wait() for p in processes] if c), 0))
"""
MONOSEM = """
worker = os.environ['WORKER']
note('monosem', worker, *sys.argv[1:])
code = answer(fake / worker / 'codes')
if code == 'wait':
  signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
  note('waiting', worker)
  signal.sigtimedwait({signal.SIGTERM}, 60)
  time.sleep(0.5)
  print('saved', flush=True)
  note('saved', worker)
  code = 143
sys.exit(int(code))
"""
SRUN = """
note('srun', *sys.argv[1:], os.environ['INSTALLED'])
sys.exit(int(answer(fake / 'codes')))
"""
NOTE = 'note(pathlib.Path(sys.argv[0]).name, *sys.argv[1:])\n'


def executable(path: pathlib.Path, text: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(COMMON + text)
  path.chmod(0o755)


class World:
  """A folder of stand-ins, and a copy of the repository beside it."""

  def __init__(self, path: pathlib.Path, states: str = 'READY'):
    self.fake = path / 'fake'
    self.root = path / 'repository'
    self.environment = {
      'PATH': f'{self.fake}/bin:{os.environ["PATH"]}',
      'HOME': str(path),
      'FAKE': str(self.fake),
    }
    executable(self.fake / 'bin/gcloud', GCLOUD)
    executable(self.fake / 'bin/srun', SRUN)
    executable(self.fake / 'bin/scontrol', NOTE)
    executable(self.fake / 'bin/sleep', NOTE)
    (self.fake / 'states').write_text(states)
    for worker in ('0', '1'):
      venv = self.fake / worker / 'monosem_jax/.venv'
      executable(venv / 'bin/monosem', MONOSEM)
      executable(venv / 'bin/python', '')
      # What launch/venv.sh leaves behind an install, so that it makes none.
      (venv / '.installed-tpu').touch()
    self.root.mkdir()
    for name in ('LICENSE', 'README.md', 'pyproject.toml'):
      shutil.copy2(program.ROOT / name, self.root)
    for name in ('configs', 'launch', 'monosem_jax'):
      shutil.copytree(
        program.ROOT / name,
        self.root / name,
        ignore=shutil.ignore_patterns('__pycache__'),
      )

  def codes(self, *codes: str | int) -> None:
    """How the program ends, run after run, on both workers."""
    for where in (self.fake, self.fake / '0', self.fake / '1'):
      (where / 'codes').write_text(' '.join(map(str, codes)))

  def calls(self, name: str = '') -> list[list[str]]:
    path = self.fake / 'calls'
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [c for c in found if not name or c[0] == name]

  def start(self, script: str, *argv: str, **more: str) -> subprocess.Popen:
    return subprocess.Popen(
      [self.root / 'launch' / script, *argv],
      cwd=self.root,
      env=self.environment | more,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      process_group=0,
    )

  def run(self, script: str, *argv: str, code: int = 0, **more: str) -> str:
    """What a script prints; it must end with that code."""
    process = self.start(script, *argv, **more)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    return out if code == 0 else err

  def wait_for(self, name: str, count: int) -> None:
    until = time.monotonic() + 30
    while len(self.calls(name)) < count:
      assert time.monotonic() < until, f'{name} never came: {self.calls()}'
      time.sleep(0.02)


def one_line(said: str) -> str:
  assert said.startswith('error: ') and said.count('\n') == 1, said
  return said
