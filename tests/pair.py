"""Two processes of a run, which talk over TCP as two hosts do."""

import contextlib
import pathlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import program


def free_port() -> int:
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


def environment(devices: int, tmp: pathlib.Path) -> dict[str, str]:
  return program.environment() | {
    'JAX_NUM_CPU_DEVICES': str(devices),
    'TMPDIR': str(tmp),
  }


class Pair:
  """Both processes of a run, and what each of them says."""

  def __init__(self, commands: list[list[str]], out: pathlib.Path):
    out.mkdir(parents=True, exist_ok=True)
    self.out = out
    at = f'--coordinator=127.0.0.1:{free_port()}'
    self.processes = []
    for i, command in enumerate(commands):
      with (out / f'said{i}').open('w') as said:
        self.processes.append(
          subprocess.Popen(
            [*command, at, '--num_processes=2', f'--process_id={i}'],
            env=environment(2, out),
            stdout=said,
            stderr=subprocess.STDOUT,
          )
        )

  def said(self, i: int) -> str:
    return (self.out / f'said{i}').read_text()

  def wait(self, timeout: float = 240) -> list[int]:
    until = time.monotonic() + timeout
    codes = [p.wait(until - time.monotonic()) for p in self.processes]
    for i in range(2):
      assert 'Check failure' not in self.said(i), self.said(i)
      assert 'Traceback' not in self.said(i), self.said(i)
    return codes


@contextlib.contextmanager
def pair(
  out: pathlib.Path,
  stage: str,
  workdir: pathlib.Path,
  *more: str,
  second: Callable[[list[str]], list[str]] = lambda command: command,
) -> Iterator[Pair]:
  """Starts a stage in two processes; `second` changes the second's command."""
  command = program.command(stage, workdir, *more)
  started = Pair([command, second(list(command))], out)
  try:
    yield started
  finally:
    for p in started.processes:
      p.kill()
      p.wait()


def the_error(said: str) -> str:
  """The only line that speaks of an error."""
  (line,) = [x for x in said.splitlines() if 'error' in x.lower()]
  return line
