"""The stages: the one place that joins a producer to a consumer.

A module here with the name of a stage declares that stage, and imports no jax.
Its docstring describes the stage. `FLAGS` are the stage's own flags, if it has
any. `artefacts(run)` lists what the stage leaves in the work directory.
`execute(run, **flags)` makes these: it skips what is complete, continues what
is half done, and refuses results of other settings.
"""

import importlib
import types
from collections.abc import Mapping
from typing import Any

from monosem_jax.config.flags import Flag
from monosem_jax.run import Run
from monosem_jax.run.artefact import Artefact

# The stages of `all`, in order, and the stages outside it.
FLOW = ('tokens', 'lm', 'sae', 'features', 'analysis', 'site')
OTHERS = ('toy', 'sample', 'export', 'serve', 'status')
NAMES = (*FLOW, 'all', *OTHERS)


def declaration(stage: str) -> types.ModuleType:
  """Returns the module that declares a stage."""
  return importlib.import_module(f'monosem_jax.stages.{stage}')


def flags(stage: str) -> tuple[Flag, ...]:
  """Returns the flags that only this stage takes."""
  return getattr(declaration(stage), 'FLAGS', ())


def summary(stage: str) -> str:
  """Returns a line that describes a stage."""
  line = description(stage).partition('\n')[0]
  return line.removeprefix(f'Stage `{stage}`: ').removesuffix('.')


def description(stage: str) -> str:
  """Returns the docstring of the module that declares a stage."""
  return (declaration(stage).__doc__ or '').strip()


def artefacts(run: Run) -> list[Artefact]:
  """Returns everything that the stages leave in the work directory."""
  found = []
  for name in (*FLOW, *OTHERS):
    if hasattr(declaration(name), 'artefacts'):
      found += declaration(name).artefacts(run)
  return found


def later(stage: str) -> tuple[str, ...]:
  """Returns the stages that follow a stage of the flow."""
  return FLOW[FLOW.index(stage) + 1 :]


def execute(stage: str, run: Run, own: Mapping[str, Any]) -> None:
  """Executes one stage with its own flags."""
  from monosem_jax.device.compile import use_cache

  use_cache(run.config.runtime, run.log)
  declaration(stage).execute(run, **own)
