"""Stage `analysis`: the paper's claims about features, beside their controls.

Each module here is an analysis, `make(inputs, out)`: it writes tables (.npz)
and pictures into the folder `out` and returns the numbers. Those under `runs`,
by run (`A/1`, `A/neurons`), become columns of the report's table. They are made
in the order below, each complete or not at all. With several processes all
compute, and the first one's files are kept.
"""

import contextlib
import importlib
import pathlib
import tempfile
from collections.abc import Iterator

import jax

from monosem_jax.analysis.results.numbers import NotMade
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.run.stamp import Stamp
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import optional_dependencies, report
from monosem_jax.stages.analysis import controls, summary
from monosem_jax.stages.analysis.inputs import AnalysisInputs, Unavailable
from monosem_jax.text.store import TokenStore

ANALYSES = (
  *('density', 'preserved', 'logits', 'ablation', 'neurons', 'neighbours'),
  *('texts', 'proxies', 'steering', 'universality', 'splitting', 'geometry'),
  'automata',
)
# Analyses that take the results of others.
NEEDS = {'steering': ('proxies',), 'automata': ('proxies',)}


def run(w: Workdir, only: str = '') -> None:
  """Makes the analyses, or those that `only` names with commas between.

  Raises:
    UserError: an unknown name, a missing library or an earlier stage's result.
  """
  wanted = [name for name in only.split(',') if name] or list(ANALYSES)
  for name in wanted:
    if name not in ANALYSES:
      raise UserError(
        f'--only: unknown analysis {name!r}{nearest(name, ANALYSES)}.'
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
  needed = {other for name in wanted for other in NEEDS.get(name, ())}
  made_from = w.analysis_inputs()
  stamps = {
    name: w.analysis_stamp((name, *NEEDS.get(name, ())), made_from)
    for name in ANALYSES
  }
  for name in ANALYSES:
    if name in needed.union(wanted):
      _make(inputs, name, stamps[name])
      # So that it says how far we are.
      hosts.on_first_process(lambda: _summarise(inputs, stamps))


def left_out() -> str:
  """Why nothing can be made here; empty if it can."""
  return optional_dependencies.lacking('matplotlib', 'sklearn', 'umap')


def _complete(w: Workdir, name: str, stamp: Stamp) -> bool:
  out = w.analysis(name)
  return stamp.matches(out) and (out / 'numbers.json').exists()


def _summarise(inputs: AnalysisInputs, stamps: dict[str, Stamp]) -> None:
  w = inputs.w
  summary.write(inputs, [n for n in ANALYSES if _complete(w, n, stamps[n])])
  report.write(w)


def _make(inputs: AnalysisInputs, name: str, stamp: Stamp) -> None:
  w = inputs.w
  if hosts.on_first_process(lambda: _complete(w, name, stamp)):
    w.log(f'analysis/{name}: complete')
    return
  module = importlib.import_module(f'monosem_jax.stages.analysis.{name}')
  with _folder(w.analysis(name), stamp) as out:
    try:
      with jax.set_mesh(inputs.mesh):
        numbers = module.make(inputs, out)
    except Unavailable as e:
      numbers = NotMade(str(e))
      w.log(f'analysis/{name}: not made: {e}')
    # The others wait: what comes next may read it.
    hosts.on_first_process(lambda: numbers.save(out))
  w.log(f'analysis/{name}: done')


@contextlib.contextmanager
def _folder(out: pathlib.Path, stamp: Stamp) -> Iterator[pathlib.Path]:
  """Where this process writes: what is not the first's is dropped."""
  if hosts.first():
    # Minutes of work, and changed settings are why it is run again.
    stamp.replace(out)
    yield out
    return
  with tempfile.TemporaryDirectory() as dropped:
    yield pathlib.Path(dropped)
