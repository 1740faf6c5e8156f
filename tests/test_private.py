"""What the program takes from jax's private modules is there, and does that.

Run on every release of jax that is supported: a release that moves one fails
here, with a name, and not in the middle of a run of many processes.
"""

import ast
import socket
import subprocess
import sys

import program

USED = {'device/hosts.py': {'jax._src.distributed'}}

# As device/hosts.py uses the key-value store, from one process alone.
STORE = """
import sys
import jax
from jax._src import distributed

jax.distributed.initialize(
  sys.argv[1], 1, 0, initialization_timeout=20, heartbeat_timeout_seconds=30,
  shutdown_timeout_seconds=30,
)
state = distributed.global_state
assert (state.process_id, state.num_processes) == (0, 1)
client = state.client
client.key_value_set('monosem/a', '"x"')
assert client.blocking_key_value_get('monosem/a', 1_000) == '"x"'
client.key_value_delete('monosem/a')
try:
  client.blocking_key_value_get('monosem/a', 100)
except RuntimeError as e:
  assert 'DEADLINE_EXCEEDED' in str(e), e
else:
  raise AssertionError('a key that was deleted is still there')
jax.distributed.shutdown()
"""


def test_no_other_private_module_is_used():
  found = {}
  for path in (program.ROOT / 'monosem_jax').rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
      names = []
      if isinstance(node, ast.ImportFrom):
        names = [f'{node.module}.{alias.name}' for alias in node.names]
      elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
      for name in names:
        if '._' in name and not name.startswith('monosem_jax'):
          place = path.relative_to(program.ROOT / 'monosem_jax').as_posix()
          found.setdefault(place, set()).add(name)
  assert found == USED


def test_the_key_value_store_of_jax():
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
  done = subprocess.run(
    [sys.executable, '-c', STORE, f'127.0.0.1:{port}'],
    env=program.environment(),
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
