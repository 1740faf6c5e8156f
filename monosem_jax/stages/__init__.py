"""The stages: the one place that joins a producer to a consumer.

Each module is a stage with a function `run(w: Workdir)`: it returns at once if
its results are complete, goes on with what is half done, and refuses results
that were made otherwise.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from monosem_jax.device.compile import use_cache
from monosem_jax.run.workdir import STAGES, Workdir


def run(stage: str, w: Workdir, own: Mapping[str, Any]) -> None:
  """Runs one stage, with the flags of its own, or `all` of them in order."""
  use_cache(w.config.runtime, w.log)
  for name in STAGES if stage == 'all' else (stage,):
    module = importlib.import_module(f'monosem_jax.stages.{name}')
    # The core installs without what pictures and layouts need.
    if stage == 'all' and name == 'analysis' and module.left_out():
      w.log(f'analysis: left out: it {module.left_out()}')
      continue
    module.run(w, **own)
