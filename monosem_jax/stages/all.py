"""Stage `all`: tokens to site; skips what is complete and continues the rest.

With --from=STAGE, the stages before STAGE must be complete and are not run.
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
    help='start at this stage; the stages before it must be complete',
  ),
)


def execute(run: Run, **flags: str) -> None:
  """Runs the stages of the flow in order.

  Args:
    run: the run of the program.
    **flags: `from`, the stage to start at; '' for the first.

  Raises:
    UserError: the stage does not exist, or one before it is not complete.
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
  """Returns why a stage cannot run here; '' if it can.

  The core installs without the libraries for pictures and layouts.
  """
  module = stages.declaration(stage)
  return module.left_out() if hasattr(module, 'left_out') else ''


def _require(run: Run, before: tuple[str, ...], start: str) -> None:
  needed = [name for name in before if not _left_out(name)]
  graph.require(
    [a for name in needed for a in stages.declaration(name).artefacts(run)],
    f'--from={start}',
  )
