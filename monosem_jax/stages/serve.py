"""Stage `serve`: serves the page of the site: probe text, pin features."""

import sys
from typing import TYPE_CHECKING

from monosem_jax.config.errors import UserError
from monosem_jax.config.flags import Flag
from monosem_jax.device import hosts
from monosem_jax.run import Run
from monosem_jax.stages.optional_dependencies import lacking

if TYPE_CHECKING:
  from monosem_jax.site.server.serving import Serving


FLAGS = (
  Flag(
    name='port',
    kind=int,
    default=8000,
    shown='8000',
    help='where on this machine, which others cannot reach; 0: any that is '
    'free',
    least=0,
    most=65_535,
  ),
)


def execute(run: Run, *, port: int) -> None:
  """Serves until a signal ends it.

  Raises:
    UserError: see `start`.
  """
  serving = start(run, port)
  run.log(f'serve: open {serving.url}')
  run.log('serve: who has this address may ask; Ctrl-C ends it')
  sys.stdout.flush()
  try:
    serving.wait()
  finally:
    serving.close()


def start(run: Run, port: int, suffixes: tuple[str, ...] = ()) -> 'Serving':
  """Starts a server, in a thread; every program is compiled before it answers.

  Args:
    run: the run of the program.
    port: of 127.0.0.1; 0: a free one.
    suffixes: of names of hosts by which a proxy reaches it, see
      `site.server.guard`.

  Raises:
    UserError: what serves is not installed, the site is not made, the port is
      not free, or something of the run is not there.
  """
  w = run.workdir
  if absent := lacking('starlette', 'uvicorn', extra='serve'):
    raise UserError(f'serve: {absent}')
  if not hosts.alone():
    raise UserError('serve: runs in one process; start it on one host.')
  if not (w.site / 'index.html').exists():
    raise UserError(f'serve: no page in {w.site}; run the site stage first.')
  from monosem_jax.site.server import serving
  from monosem_jax.stages import live, loaded

  # Before what takes long, so that a port that is taken is said at once.
  with serving.listen(port) as listener:
    found = loaded.load(run)
    engine = live.Engine(found, found.tokenizer.token_strings())
    run.log(f'serve: compiling for {", ".join(found.sets)}')
    sys.stdout.flush()
    engine.warm()
    return serving.start(w.site, engine, listener.dup(), suffixes)
