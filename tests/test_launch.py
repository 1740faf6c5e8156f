"""The scripts of launch/, with stand-ins for the machines they command.

The stand-in for gcloud has two workers, each a folder, in which it runs what it
is told to; the program is a stand-in, too, and ends with the codes it is given.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import program
import pytest
import yaml

LAUNCH = program.ROOT / 'launch'
BATCH = LAUNCH / 'slurm.sbatch'
JOBSET = LAUNCH / 'gke_jobset.yaml'
SCRIPTS = [*sorted(LAUNCH.glob('*.sh')), BATCH]
RUN = [
  *('all', '--config=configs/a1.py', '--workdir=/mnt/shared/a1'),
  "--config.text.paths=it's/*.zst",
]


def test_there_are_scripts():
  assert {'quickstart.sh', 'test.sh', 'tpu_pod.sh', 'slurm.sbatch'} <= {
    p.name for p in SCRIPTS
  }


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda p: p.name)
def test_a_script_is_sound_bash_that_stops_at_the_first_failure(path):
  done = subprocess.run(
    ['bash', '-n', str(path)], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  text = path.read_text()
  assert text.startswith(('#!/usr/bin/env bash\n', '#!/bin/bash\n', '#'))
  if text.startswith('#!'):
    assert path.stat().st_mode & 0o111, 'not executable'
    sourced = any(
      f'source launch/{path.name}' in p.read_text() for p in SCRIPTS
    )
    assert sourced or 'set -e' in text


@pytest.mark.skipif(
  not shutil.which('shellcheck'), reason='shellcheck is not installed'
)
def test_shellcheck_has_nothing_to_say():
  done = subprocess.run(
    ['shellcheck', *map(str, SCRIPTS)],
    cwd=program.ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout


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


@pytest.fixture
def world(tmp_path):
  return World(tmp_path)


def one_line(said: str) -> str:
  assert said.startswith('error: ') and said.count('\n') == 1, said
  return said


# TPU pods

POD = {'TPU_NAME': 'pod', 'ZONE': 'us-east5-a'}


def gcloud(*argv: str) -> list[str]:
  tpu = ['gcloud', 'compute', 'tpus', 'tpu-vm']
  return [*tpu, *argv, '--zone=us-east5-a']


def test_pod_shows_the_exact_commands_and_runs_none(world):
  said = world.run(
    'tpu_pod.sh',
    '--print',
    *RUN,
    **POD,
    PROJECT='mine',
    PYTHON='python3.12',
    SETUP="mount '/mnt'",
  )
  make_folder, pack, describe, copy, install, run = map(
    shlex.split, said.splitlines()
  )
  assert make_folder == ['mkdir', '-p', 'runs']
  bundle = 'runs/monosem_jax.tar.gz'
  assert pack[:3] == ['tar', '-czf', bundle]
  assert {'configs', 'launch', 'monosem_jax', 'pyproject.toml'} < set(pack)
  every, project = '--worker=all', '--project=mine'
  assert describe == [
    *gcloud('describe', 'pod', '--format=value(state)'),
    project,
  ]
  assert copy == [*gcloud('scp', bundle, 'pod:', every), project]
  assert install[:8] == [
    *('gcloud', 'compute', 'tpus', 'tpu-vm', 'ssh', 'pod', every),
    install[7],
  ]
  assert install[7].startswith("--command={ mount '/mnt'; } && ")
  assert install[7].endswith(
    ' && tar -xzf ../monosem_jax.tar.gz &&'
    ' EXTRAS=tpu PYTHON=python3.12 bash launch/venv.sh'
  )
  assert run[7] == '--ssh-flag=-o ServerAliveInterval=30'
  assert (
    'exec env PYTHONUNBUFFERED=1 .venv/bin/monosem '
    f"{' '.join(RUN[:3])} --config.text.paths=it\\'s/\\*.zst --distributed >"
  ) in run[8]
  assert not world.calls()
  assert not (world.root / 'runs').exists()


def test_pod_runs_what_it_shows_on_every_worker(world):
  world.codes(0)
  said = world.run('tpu_pod.sh', '--print', *RUN, **POD).splitlines()
  world.run('tpu_pod.sh', *RUN, **POD)
  shown = [shlex.split(line) for line in said if line.startswith('gcloud')]
  made = world.calls('gcloud')
  assert made[0] == made[1] == shown[0]  # is it there; is it READY
  assert made[2:] == shown[1:]
  assert sorted(world.calls('monosem')) == [
    ['monosem', worker, *RUN, '--distributed'] for worker in '01'
  ]
  for worker in '01':
    at = world.fake / worker / 'monosem_jax'
    for name in ('pyproject.toml', 'README.md', 'LICENSE', 'configs/a1.py'):
      assert (at / name).read_bytes() == (program.ROOT / name).read_bytes()
    assert (at / 'monosem_jax/main.py').exists()


def test_pod_goes_on_after_each_preemption_with_the_same_command(tmp_path):
  # Looked at before the first run, then before and behind each.
  world = World(
    tmp_path,
    'READY  READY PREEMPTED  PREEMPTED CREATING READY PREEMPTED  NONE READY',
  )
  world.codes(255, 143, 0)
  world.run('tpu_pod.sh', *RUN, **POD)
  runs = world.calls('monosem')
  assert len(runs) == 6
  assert len({tuple(r[2:]) for r in runs}) == 1
  # The tree is copied anew, for a slice that was made anew.
  assert len([c for c in world.calls('gcloud') if 'scp' in c]) == 3
  assert world.calls('sleep').count(['sleep', '60']) == 2 + 1 + 2


@pytest.mark.parametrize('code', [2, 0])
def test_pod_ends_with_success_and_with_a_users_mistake(world, code):
  world.codes(code)
  world.run('tpu_pod.sh', *RUN, code=code, **POD)
  assert len(world.calls('monosem')) == 2
  assert not world.calls('sleep')


def test_pod_gives_up_when_the_program_keeps_failing(world):
  world.codes(1)
  said = world.run('tpu_pod.sh', *RUN, code=1, **POD)
  assert len(world.calls('monosem')) == 2 * 3
  assert 'error: three failures in a row, the last with exit code 1' in said


def test_pod_does_not_count_a_preemption_as_a_failure(tmp_path):
  one = 'READY READY '  # a run of a slice that is there before and after
  world = World(tmp_path, f'READY {one}{one}READY PREEMPTED {one}{one}{one}')
  world.codes(1, 1, 255, 1, 143, 1, 0)
  world.run('tpu_pod.sh', *RUN, **POD)
  assert len(world.calls('monosem')) == 2 * 7


def test_pod_makes_room_for_itself_after_a_lost_connection(world):
  world.codes('wait', 0)
  process = world.start('tpu_pod.sh', *RUN, **POD)
  world.wait_for('waiting', 2)
  # The connection alone: what runs on the workers goes on.
  (gone,) = subprocess.run(
    ['pgrep', '-f', f'{world.fake}/bin/gcloud .*ServerAliveInterval'],
    capture_output=True,
    text=True,
    check=True,
  ).stdout.split()
  os.kill(int(gone), signal.SIGKILL)
  out, err = process.communicate(timeout=60)
  assert process.returncode == 0, out + err
  for worker in '01':
    mine = [c[0] for c in world.calls() if c[1:2] == [worker]]
    assert mine == ['monosem', 'waiting', 'saved', 'monosem']
    log = world.fake / worker / 'monosem_jax/run.log'
    assert log.read_text() == 'saved\n'


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_pod_stops_the_program_on_all_workers_when_stopped(world, signum):
  world.codes('wait')
  process = world.start('tpu_pod.sh', *RUN, **POD)
  world.wait_for('waiting', 2)
  if signum == signal.SIGINT:  # as a terminal does
    os.killpg(process.pid, signum)
  else:
    process.send_signal(signum)
  assert process.wait(timeout=60) == 128 + signum
  assert len(world.calls('saved')) == 2  # it waits for that
  out, _ = process.communicate()
  assert len(world.calls('monosem')) == 2
  assert out.count('saved') == 2  # its last words are passed on


@pytest.mark.parametrize(
  ('argv', 'environment', 'word'),
  [
    (RUN, {'ZONE': 'z'}, 'TPU_NAME'),
    (RUN, {'TPU_NAME': 'pod'}, 'ZONE'),
    (RUN, {'TPU_NAME': 'pod', 'ZONE': ''}, 'ZONE'),
    ([], POD, 'stage'),
    (['--print'], POD, 'stage'),
    (['all', '--config=c'], POD, '--workdir'),
    (['all', '--config=c', '--workdir=runs/a1'], POD, 'absolute'),
  ],
)
def test_pod_says_what_is_missing(world, argv, environment, word):
  said = world.run('tpu_pod.sh', *argv, code=2, **environment)
  assert word in one_line(said)
  assert not world.calls()


def test_pod_says_that_there_is_no_gcloud_or_no_such_slice(tmp_path):
  world = World(tmp_path, 'NONE')
  said = world.run('tpu_pod.sh', *RUN, code=2, **POD)
  assert (
    said.splitlines()[-1] == 'error: no TPU VM pod in us-east5-a: see above.'
  )
  assert len(world.calls()) == 1
  bare = world.fake / 'bare'
  bare.mkdir()
  for name in ('bash', 'dirname', 'env'):
    (bare / name).symlink_to(shutil.which(name))
  said = world.run('tpu_pod.sh', *RUN, code=2, **POD, PATH=str(bare))
  assert 'gcloud' in one_line(said)


# SLURM


@pytest.fixture
def cluster(world):
  # For the install, which a batch job makes where it was submitted.
  (world.root / 'launch/venv.sh').write_text('export INSTALLED=$EXTRAS\n')
  world.environment |= {'SLURM_JOB_ID': '77', 'SLURM_CPUS_PER_TASK': '6'}
  return world


SRUN_CALL = [
  *('srun', '--kill-on-bad-exit=0', '--wait=0', '--cpus-per-task=6'),
  *('env', 'PYTHONUNBUFFERED=1', 'monosem', *RUN, '--distributed'),
]


def test_slurm_shows_the_exact_commands_and_runs_none(cluster):
  said = cluster.run('slurm.sbatch', '--print', *RUN)
  install, run, requeue = said.splitlines()
  assert install == 'EXTRAS=cuda source launch/venv.sh'
  assert [w.replace('$SLURM_CPUS_PER_TASK', '6') for w in shlex.split(run)] == (
    SRUN_CALL
  )
  assert requeue.startswith('scontrol requeue $SLURM_JOB_ID  #')
  assert not cluster.calls()
  # Outside of a job, too.
  del cluster.environment['SLURM_JOB_ID']
  assert cluster.run('slurm.sbatch', '--print', *RUN) == said


def test_slurm_requeues_after_each_preemption_and_then_ends(cluster):
  cluster.codes(143, 130, 0)
  for code in (143, 130, 0):  # SLURM starts the same script again
    cluster.run('slurm.sbatch', *RUN, code=code)
  run, requeue = [*SRUN_CALL, 'cuda'], ['scontrol', 'requeue', '77']
  assert cluster.calls() == [run, requeue, run, requeue, run]


@pytest.mark.parametrize('code', [1, 2, 137])
def test_slurm_does_not_requeue_what_did_not_save(cluster, code):
  cluster.codes(code)
  cluster.run('slurm.sbatch', *RUN, code=code)
  assert [c[0] for c in cluster.calls()] == ['srun']


def test_slurm_asks_for_what_the_script_relies_on():
  lines = re.findall(r'^#SBATCH --(.*)$', BATCH.read_text(), re.MULTILINE)
  options = dict(line.partition('=')[::2] for line in lines)
  # To the program (not B:, the batch shell), well ahead of the time limit.
  name, _, seconds = options['signal'].partition('@')
  assert name == 'TERM' and int(seconds) >= 120
  assert 'requeue' in options
  assert options['open-mode'] == 'append'  # or a requeue empties the log
  assert int(options['nodes']) > 1
  # jax gives process i of a node GPU i, of all that the node has.
  assert options['ntasks-per-node'] == options['gpus-per-node']
  assert not {'gpus-per-task', 'gpu-bind'} & set(options)
  assert 'cpus-per-task' in options
  # SLURM reads no directive behind the first command.
  head = BATCH.read_text().partition('\nset -')[0]
  assert head.count('#SBATCH') == len(lines)


@pytest.mark.parametrize(
  ('argv', 'word'),
  [
    ([], 'stage'),
    (['--print'], 'stage'),
    (['all', '--config=c'], '--workdir'),
    (['all', '--config=c', '--workdir='], '--workdir'),
  ],
)
def test_slurm_says_what_is_missing(cluster, argv, word):
  assert word in one_line(cluster.run('slurm.sbatch', *argv, code=2))
  assert not cluster.calls()


def test_slurm_says_that_it_is_at_the_wrong_place(cluster):
  (cluster.root / 'launch/venv.sh').unlink()
  said = cluster.run('slurm.sbatch', *RUN, code=2)
  assert "repository's root" in one_line(said)
  del cluster.environment['SLURM_JOB_ID']
  assert 'sbatch' in one_line(cluster.run('slurm.sbatch', *RUN, code=2))
  assert not cluster.calls()


# GKE


def header_values() -> dict[str, str]:
  """What the header of the JobSet exports as an example."""
  text = JOBSET.read_text().partition('apiVersion')[0]
  exports = re.findall(r'^#   (export .*(?:\n#     .*)*)', text, re.MULTILINE)
  assert exports
  lines = '\n'.join(exports).replace('\n#  ', '\n')
  done = subprocess.run(
    ['bash', '-euc', f'{lines}\nenv -0'],
    env={'PATH': os.environ['PATH']},
    capture_output=True,
    text=True,
    check=True,
  )
  found = dict(v.partition('=')[::2] for v in done.stdout.split('\0') if v)
  return found


def variables() -> set[str]:
  body = JOBSET.read_text().partition('apiVersion')[2]
  return set(re.findall(r'\$\{(\w+)\}', body))


def render(**values: str) -> dict:
  """The JobSet as envsubst fills it."""
  text = JOBSET.read_text()
  filled = re.sub(
    r'\$(?:\{(\w+)\}|([A-Za-z_]\w*))',
    lambda m: values.get(m[1] or m[2], ''),
    text,
  )
  if shutil.which('envsubst'):
    done = subprocess.run(
      ['envsubst'],
      input=text,
      env=values | {'PATH': os.environ['PATH']},
      capture_output=True,
      text=True,
      check=True,
    )
    assert done.stdout == filled
  return yaml.safe_load(filled)


def example(**values: str) -> dict:
  known = header_values()
  return render(**{k: known[k] for k in variables()} | values)


def test_jobset_is_yaml_before_and_after_its_values():
  unfilled = yaml.safe_load(JOBSET.read_text())
  filled = example()
  assert unfilled['kind'] == filled['kind'] == 'JobSet'
  assert filled['apiVersion'] == 'jobset.x-k8s.io/v1alpha2'
  assert filled['metadata']['name'] == 'a1'
  assert '${' not in json.dumps(filled)


def test_jobset_header_has_a_value_for_every_variable():
  assert variables() <= set(header_values())
  assert variables() == {
    *('NAME', 'IMAGE', 'CLAIM', 'HOSTS', 'NODES', 'DEVICE', 'DEVICES'),
    'COMMAND',
  }


def test_jobset_starts_all_again_but_not_after_a_users_mistake():
  spec = example()['spec']
  policy = spec['failurePolicy']
  assert policy['maxRestarts'] >= 10
  (rule,) = policy['rules']
  assert rule['action'] == 'FailJobSet'
  assert rule['onJobFailureReasons'] == ['PodFailurePolicy']
  assert re.fullmatch(r'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?', rule['name'])
  (hosts,) = spec['replicatedJobs']
  job = hosts['template']['spec']
  assert job['backoffLimit'] == 0  # one that fails ends all
  (rule,) = job['podFailurePolicy']['rules']
  (container,) = job['template']['spec']['containers']
  assert rule == {
    'action': 'FailJob',
    'onExitCodes': {
      'containerName': container['name'],
      'operator': 'In',
      'values': [2],
    },
  }
  assert job['template']['spec']['restartPolicy'] == 'Never'
  assert job['template']['spec']['terminationGracePeriodSeconds'] >= 120


def pod_of(jobset: dict) -> tuple[dict, dict, dict]:
  """The job, its pod and the pod's one container."""
  (hosts,) = jobset['spec']['replicatedJobs']
  job = hosts['template']['spec']
  pod = job['template']['spec']
  (container,) = pod['containers']
  return job, pod, container


@pytest.mark.parametrize(
  ('values', 'nodes', 'limits'),
  [
    (
      {},
      {
        'cloud.google.com/gke-tpu-accelerator': 'tpu-v5-lite-podslice',
        'cloud.google.com/gke-tpu-topology': '4x4',
      },
      {'google.com/tpu': 4},
    ),
    (
      {
        'NODES': '{cloud.google.com/gke-accelerator: nvidia-h100-80gb}',
        'DEVICE': 'nvidia.com/gpu',
        'DEVICES': '8',
        'HOSTS': '16',
      },
      {'cloud.google.com/gke-accelerator': 'nvidia-h100-80gb'},
      {'nvidia.com/gpu': 8},
    ),
  ],
  ids=['tpu', 'gpu'],
)
def test_jobset_asks_for_the_devices_and_the_shared_folder(
  values, nodes, limits
):
  job, pod, container = pod_of(example(**values))
  assert job['completionMode'] == 'Indexed'
  assert job['parallelism'] == job['completions']
  assert job['completions'] == int(values.get('HOSTS', 4))
  assert pod['nodeSelector'] == nodes
  assert container['resources']['limits'] == limits
  mounts = {m['name']: m['mountPath'] for m in container['volumeMounts']}
  volumes = {v['name']: v for v in pod['volumes']}
  assert set(mounts) == set(volumes)
  claim = volumes['shared']['persistentVolumeClaim']['claimName']
  assert claim == header_values()['CLAIM']
  assert f'--workdir={mounts["shared"]}/' in header_values()['COMMAND']


def test_jobset_tells_every_process_who_it_is(tmp_path):
  quoted = 'all --workdir=/shared/x --config.text.paths="it\'s/*.zst"'
  jobset = example(NAME='run1', HOSTS='2', COMMAND=quoted)
  _, _, container = pod_of(jobset)
  (job_name,) = [j['name'] for j in jobset['spec']['replicatedJobs']]
  # The image holds the program there; the cluster writes $(...) out.
  executable(tmp_path / '.venv/bin/monosem', 'print(json.dumps(sys.argv[1:]))')
  for index in (0, 1):
    words = [
      w.replace('$(JOB_COMPLETION_INDEX)', str(index))
      for w in container['command'] + container['args']
    ]
    done = subprocess.run(
      words,
      cwd=tmp_path,
      env={'PATH': os.environ['PATH'], 'FAKE': str(tmp_path)},
      capture_output=True,
      text=True,
      check=True,
    )
    # Pod 0 of job 0, as JobSet names it: in a headless service of its own name.
    assert json.loads(done.stdout) == [
      *('all', '--workdir=/shared/x', "--config.text.paths=it's/*.zst"),
      f'--coordinator=run1-{job_name}-0-0.run1:8482',
      '--num_processes=2',
      f'--process_id={index}',
    ]


@pytest.mark.parametrize(
  'flags',
  [
    ['--distributed'],
    ['--coordinator=a:8482', '--num_processes=2', '--process_id=1'],
  ],
)
def test_the_program_has_the_flags_that_the_scripts_give_it(flags):
  said = program.refusal('all', '--config=none.py', '--workdir=w', *flags)
  assert 'no file none.py' in said
