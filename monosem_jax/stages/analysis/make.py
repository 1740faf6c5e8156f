"""Makes the analyses in order; each is complete or absent."""

import jax

from monosem_jax.analysis.results.numbers import NotMade, Numbers
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.run import Run, graph
from monosem_jax.stages import report
from monosem_jax.stages.analysis import (
  analysis,
  controls,
  declared,
  left_out,
  summary,
)
from monosem_jax.stages.analysis.declaration import analyses
from monosem_jax.stages.analysis.inputs import AnalysisInputs, Unavailable
from monosem_jax.text.store import TokenStore


def make_all(run: Run, only: str = '') -> None:
  """Makes all analyses, or those that `only` names, separated by commas.

  Raises:
    UserError: a name is unknown, or a library or an earlier result is missing.
  """
  known = declared()
  wanted = [name for name in only.split(',') if name] or list(known)
  for name in wanted:
    if name not in known:
      raise UserError(
        f'--only: unknown analysis {name!r}{nearest(name, known)}.'
      )
  if not run.config.dictionaries:
    raise UserError('analysis: the config names no dictionary.')
  if left_out():
    raise UserError(f'analysis: {left_out()}.')
  store = TokenStore.open(run.workdir.store)
  mesh = meshes.make_mesh(run.config.mesh)
  for name, d in run.config.dictionaries.items():
    meshes.require_share(
      mesh, d.features, f'dictionaries.{name}.features', meshes.AXES[1:]
    )
  inputs = AnalysisInputs(run, store, mesh)
  controls.make(inputs)
  needed = {other for name in wanted for other in known[name]}
  for name in known:
    if name in needed.union(wanted):
      _make(inputs, name)
      # The report shows the analyses so far.
      hosts.on_first_process(lambda: _summarise(inputs))


def _summarise(inputs: AnalysisInputs) -> None:
  run = inputs.run
  summary.write(
    inputs,
    [n for n in declared() if graph.is_complete(analysis(run, n))],
  )
  report.write(run)


def _make(inputs: AnalysisInputs, name: str) -> None:
  run, made = inputs.run, analysis(inputs.run, name)
  if graph.complete(made, run.log):
    return
  with graph.making(made) as out:
    numbers: Numbers
    try:
      with jax.set_mesh(inputs.mesh):
        numbers = analyses()[name].make(inputs, out)
    except Unavailable as e:
      numbers = NotMade(str(e))
      run.log(f'analysis/{name}: not made: {e}')
    # The next analysis may read the numbers, so the other processes wait.
    hosts.on_first_process(lambda: numbers.save(out))
  run.log(f'analysis/{name}: done')
