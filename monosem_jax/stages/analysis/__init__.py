"""Stage `analysis`: the paper's claims about features, beside their controls.

A module here that declares an `ANALYSIS` is one, see `declaration`. Numbers
under `runs`, by run (`A/1`, `A/neurons`), become columns of the report's table.
Analyses are made in their order, each complete or not at all. Of many processes
all compute, and the first one's files are kept.
"""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import jax

from monosem_jax.config.errors import UserError, nearest
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.run.files import write_json
from monosem_jax.run.stamp import Stamp
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import optional_dependencies, report
from monosem_jax.stages.analysis import controls, summary
from monosem_jax.stages.analysis.bench import Bench, Unavailable, json_of
from monosem_jax.stages.analysis.declaration import analyses
from monosem_jax.text.store import TokenStore


def run(w: Workdir, only: str = '') -> None:
  """Makes the analyses, or those that `only` names with commas between.

  Raises:
    UserError: an unknown name, a missing library or an earlier stage's result.
  """
  known = analyses()
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
  bench = Bench(w, store, mesh)
  controls.make(bench)
  needed = {other for name in wanted for other in known[name].needs}
  inputs = w.analysis_inputs()
  stamps = {
    name: w.analysis_stamp((name, *own.needs), inputs)
    for name, own in known.items()
  }
  for name in known:
    if name in needed.union(wanted):
      _make(bench, name, stamps[name])
      # So that it says how far we are.
      hosts.on_first_process(lambda: _summarise(bench, stamps))


def left_out() -> str:
  """Why nothing can be made here; empty if it can."""
  return optional_dependencies.lacking('matplotlib', 'sklearn', 'umap')


def _complete(w: Workdir, name: str, stamp: Stamp) -> bool:
  out = w.analysis(name)
  return stamp.matches(out) and (out / 'numbers.json').exists()


def _summarise(bench: Bench, stamps: dict[str, Stamp]) -> None:
  w = bench.w
  summary.write(bench, [n for n in stamps if _complete(w, n, stamps[n])])
  report.write(w)


def _make(bench: Bench, name: str, stamp: Stamp) -> None:
  w = bench.w
  if hosts.on_first_process(lambda: _complete(w, name, stamp)):
    w.log(f'analysis/{name}: complete')
    return
  with _folder(w.analysis(name), stamp) as out:
    try:
      with jax.set_mesh(bench.mesh):
        numbers = analyses()[name].make(bench, out)
    except Unavailable as e:
      numbers = {'not_here': str(e)}
      w.log(f'analysis/{name}: not made: {e}')
    # The others wait: what comes next may read it.
    hosts.on_first_process(
      lambda: write_json(out / 'numbers.json', json_of(numbers))
    )
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
