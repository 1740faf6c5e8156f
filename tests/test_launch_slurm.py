"""launch/slurm.sbatch, with a stand-in for srun."""

import re
import shlex

import pytest
from launched import LAUNCH, RUN, World, one_line

BATCH = LAUNCH / 'slurm.sbatch'


@pytest.fixture
def world(tmp_path):
  return World(tmp_path)


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
