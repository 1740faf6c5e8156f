"""launch/tpu_pod.sh, with a stand-in for gcloud."""

import os
import shlex
import shutil
import signal
import subprocess

import program
import pytest
from launched import RUN, World, one_line


@pytest.fixture
def world(tmp_path):
  return World(tmp_path)


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
