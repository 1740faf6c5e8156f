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

from monosem_jax.config.flags import Flag
from monosem_jax.run.artefact import Artefact
from monosem_jax.run.workdir import Workdir

# In the order of `all`, and those that stand for themselves.
FLOW = ('tokens', 'lm', 'sae', 'features', 'analysis', 'site')
OTHERS = ('toy', 'sample', 'export', 'serve', 'status')
NAMES = (*FLOW, 'all', *OTHERS)


def declaration(stage: str) -> types.ModuleType:
  """The module that declares a stage."""
  return importlib.import_module(f'monosem_jax.stages.{stage}')


def flags(stage: str) -> tuple[Flag, ...]:
  """The flags that a stage alone takes."""
  return getattr(declaration(stage), 'FLAGS', ())


def summary(stage: str) -> str:
  """What a stage does, in a line."""
  line = declaration(stage).__doc__.partition('\n')[0]
  return line.removeprefix(f'Stage `{stage}`: ').removesuffix('.')


def artefacts(w: Workdir) -> list[Artefact]:
  """All that the stages leave in the work directory."""
  found = []
  for name in (*FLOW, *OTHERS):
    if hasattr(declaration(name), 'artefacts'):
      found += declaration(name).artefacts(w)
  return found


def later(stage: str) -> tuple[str, ...]:
  """The stages that follow a stage of the flow."""
  return FLOW[FLOW.index(stage) + 1 :]


def run(stage: str, w: Workdir, own: Mapping[str, Any]) -> None:
  """Runs one stage, with the flags of its own."""
  from monosem_jax.device.compile import use_cache

  use_cache(w.config.runtime, w.log)
  declaration(stage).run(w, **own)
