"""The program in a process of its own."""

import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable

# Seconds that one start of the program may take.
LIMIT = 600.0


class Child:
  """A process that is killed where its block is left."""

  def __init__(
    self,
    command: list[str],
    env: dict[str, str],
    cwd: pathlib.Path,
    logs: pathlib.Path,
  ):
    """Starts it.

    Args:
      command: what to run.
      env: its whole environment.
      cwd: where Python looks for modules first.
      logs: a folder for what it prints.
    """
    self._out, self._err = logs / 'out', logs / 'err'
    with self._out.open('w') as out, self._err.open('w') as err:
      self._process = subprocess.Popen(
        command, env=env, cwd=cwd, stdout=out, stderr=err
      )
    self.started = time.monotonic()

  def __enter__(self) -> 'Child':
    return self

  def __exit__(self, *unused) -> None:
    self.kill()

  @property
  def out(self) -> str:
    return self._out.read_text()

  @property
  def err(self) -> str:
    return self._err.read_text()

  def running(self) -> bool:
    return self._process.poll() is None

  def until(
    self,
    now: Callable[[], bool],
    limit: float = LIMIT,
    every: float = 0.0005,
  ) -> bool:
    """Waits for a moment; False if the program ended before it came."""
    while not now():
      if not self.running():
        return False
      late = time.monotonic() - self.started > limit
      assert not late, f'the moment never came in {limit:.0f} s'
      time.sleep(every)
    return self.running()

  def opens(self, path: pathlib.Path) -> bool:
    """Whether it has a file open, where /proc says so."""
    try:
      links = list(pathlib.Path(f'/proc/{self._process.pid}/fd').iterdir())
      return any(os.path.realpath(link) == str(path) for link in links)
    except OSError:
      return False

  def send(self, signum: int) -> int:
    """Sends a signal, and waits for the exit code."""
    self._process.send_signal(signum)
    return self.wait()

  def kill(self) -> bool:
    """SIGKILL; False if the program had ended before."""
    self._process.kill()
    return self._process.wait() == -signal.SIGKILL

  def wait(self, limit: float = LIMIT) -> int:
    """Waits for the exit code."""
    return self._process.wait(limit)

  def refusal(self) -> str:
    """Waits for exit code 2 and one line of error, which is returned."""
    code = self.wait()
    assert code == 2, f'exit code {code}, not 2: {self.err}'
    lines = [
      line
      for line in self.err.replace('\r', '\n').splitlines()
      if line.strip() and '%|' not in line  # a progress bar is no error
    ]
    assert len(lines) == 1, f'not one line of error but: {self.err}'
    assert lines[0].startswith('error: '), lines[0]
    return lines[0]
