"""One run of the program: graph, training, checkpoints, metrics."""

import dataclasses
from collections.abc import Callable

from monosem_jax.config import settings
from monosem_jax.device import hosts
from monosem_jax.run.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class Run:
  """One run of the program.

  Attributes:
    config: the settings.
    workdir: the paths of the files.
    log: prints a line for the user.
  """

  config: settings.Config
  workdir: Workdir
  log: Callable[[str], None] = hosts.log
