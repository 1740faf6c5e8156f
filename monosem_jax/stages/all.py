"""Stage `all`: tokens to site; skips what is complete, goes on with the rest.

With --from the stages before that one are taken as they are, and have to be
complete.
"""

from monosem_jax import stages
from monosem_jax.config.errors import UserError, nearest
from monosem_jax.config.flags import Flag
from monosem_jax.device import hosts
from monosem_jax.run import Run, graph

FLAGS = (
  Flag(
    name='from',
    kind=str,
    default='',
    shown='STAGE',
    help='start at this stage; the ones before it have to be complete',
  ),
)


def execute(run: Run, **flags: str) -> None:
  """Runs the stages of the flow in order.

  Args:
    run: the run of the program.
    **flags: `from`, the stage to start at; '' for the first.

  Raises:
    UserError: there is no such stage, or one before it is not complete.
  """
  start = flags.get('from') or stages.FLOW[0]
  if start not in stages.FLOW:
    raise UserError(
      f'--from: unknown stage {start!r}{nearest(start, stages.FLOW)}.'
    )
  at = stages.FLOW.index(start)
  hosts.on_first_process(lambda: _require(run, stages.FLOW[:at], start))
  for name in stages.FLOW[at:]:
    if why := _left_out(name):
      run.log(f'{name}: left out: it {why}')
    else:
      stages.declaration(name).execute(run)


def _left_out(stage: str) -> str:
  """Why a stage cannot run here: the core installs without what pictures and
  layouts need. '' if it can."""
  module = stages.declaration(stage)
  return module.left_out() if hasattr(module, 'left_out') else ''


def _require(run: Run, before: tuple[str, ...], start: str) -> None:
  needed = [name for name in before if not _left_out(name)]
  graph.require(
    [a for name in needed for a in stages.declaration(name).artefacts(run)],
    f'--from={start}',
  )
