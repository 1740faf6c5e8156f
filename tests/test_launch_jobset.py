"""launch/gke_jobset.yaml, as kubectl and its pods take it."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from launched import LAUNCH, executable

JOBSET = LAUNCH / 'gke_jobset.yaml'


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
