"""The stages: the one place that joins a producer to a consumer.

Each module here that is named as a stage declares it, without importing jax:
its docstring says what it does, `FLAGS` are the flags of its own (none if it
has no such name), `artefacts(w)` is what it leaves in the work directory, and
`run(w, **flags)` makes that: it returns at once if its results are complete,
goes on with what is half done, and refuses results that were made otherwise.
"""

import importlib
import types
from collections.abc import Mapping
from typing import Any

from monosem_jax.run.workdir import Workdir

# In the order of `all`, and those that stand for themselves.
FLOW = ('tokens', 'lm', 'sae', 'features', 'analysis', 'site')
OTHERS = ('toy', 'sample', 'export', 'serve')


def declaration(stage: str) -> types.ModuleType:
  """The module that declares a stage."""
  return importlib.import_module(f'monosem_jax.stages.{stage}')


def later(stage: str) -> tuple[str, ...]:
  """The stages that follow a stage of the flow."""
  return FLOW[FLOW.index(stage) + 1 :]


def run(stage: str, w: Workdir, own: Mapping[str, Any]) -> None:
  """Runs one stage, with the flags of its own, or `all` of them in order."""
  from monosem_jax.device.compile import use_cache

  use_cache(w.config.runtime, w.log)
  for name in FLOW if stage == 'all' else (stage,):
    module = declaration(name)
    # The core installs without what pictures and layouts need.
    if stage == 'all' and name == 'analysis' and module.left_out():
      w.log(f'analysis: left out: it {module.left_out()}')
      continue
    module.run(w, **own)
