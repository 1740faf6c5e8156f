"""Makes the analyses: each complete or not at all, in their order."""

import jax

from monosem_jax.analysis.results.numbers import NotMade, Numbers
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.run import graph
from monosem_jax.run.workdir import Workdir
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


def run(w: Workdir, only: str = '') -> None:
  """Makes the analyses, or those that `only` names with commas between.

  Raises:
    UserError: an unknown name, a missing library or an earlier stage's result.
  """
  known = declared()
  wanted = [name for name in only.split(',') if name] or list(known)
  for name in wanted:
    if name not in known:
      raise UserError(
        f'--only: unknown analysis {name!r}{nearest(name, known)}.'
      )
  if not w.config.dictionaries:
    raise UserError('analysis: the config names no dictionary.')
  if left_out():
    raise UserError(f'analysis: {left_out()}.')
  store = TokenStore.open(w.store)
  mesh = meshes.make_mesh(w.config.mesh)
  for name, d in w.config.dictionaries.items():
    meshes.require_share(
      mesh, d.features, f'dictionaries.{name}.features', meshes.AXES[1:]
    )
  inputs = AnalysisInputs(w, store, mesh)
  controls.make(inputs)
  needed = {other for name in wanted for other in known[name]}
  for name in known:
    if name in needed.union(wanted):
      _make(inputs, name)
      # So that it says how far we are.
      hosts.on_first_process(lambda: _summarise(inputs))


def _summarise(inputs: AnalysisInputs) -> None:
  w = inputs.w
  summary.write(
    inputs,
    [n for n in declared() if graph.is_complete(analysis(w, n))],
  )
  report.write(w)


def _make(inputs: AnalysisInputs, name: str) -> None:
  w, made = inputs.w, analysis(inputs.w, name)
  if graph.complete(made, w.log):
    return
  # Minutes of work, and changed settings are why it is run again.
  with graph.making(made) as out:
    numbers: Numbers
    try:
      with jax.set_mesh(inputs.mesh):
        numbers = analyses()[name].make(inputs, out)
    except Unavailable as e:
      numbers = NotMade(str(e))
      w.log(f'analysis/{name}: not made: {e}')
    # The others wait: what comes next may read it.
    hosts.on_first_process(lambda: numbers.save(out))
  w.log(f'analysis/{name}: done')
