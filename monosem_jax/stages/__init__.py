"""The stages: the one place that joins a producer to a consumer.

Each module is a stage with a function `run(w: Workdir)`: it returns at once if
its results are complete, goes on with what is half done, and refuses results
that were made otherwise.
"""

import importlib

from monosem_jax import ahead
from monosem_jax.workdir import STAGES, Workdir


def run(stage: str, w: Workdir) -> None:
  """Runs one stage, or `all` of them in order."""
  ahead.use_cache(w.config.runtime, w.log)
  for name in STAGES if stage == 'all' else (stage,):
    importlib.import_module(f'monosem_jax.stages.{name}').run(w)
