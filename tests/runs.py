"""A run of the program in this process, on the config of the tests."""

import pathlib
from collections.abc import Callable

import program

from monosem_jax.config import load, settings
from monosem_jax.device import mesh as meshes
from monosem_jax.run import Run
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages.analysis.inputs import AnalysisInputs
from monosem_jax.text.store import TokenStore


def config(*overrides: str) -> settings.Config:
  return load.load(str(program.config()), overrides)


def at(
  workdir: pathlib.Path,
  *overrides: str,
  log: Callable[[str], None] = lambda line: None,
) -> Run:
  """A run in a work directory, which says nothing."""
  return Run(config(*overrides), Workdir(workdir), log)


def inputs(run: Run) -> AnalysisInputs:
  """What its analyses work with."""
  store = TokenStore.open(run.workdir.store)
  return AnalysisInputs(run, store, meshes.make_mesh(run.config.mesh))
