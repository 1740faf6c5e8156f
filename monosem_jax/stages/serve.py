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
    help='port on 127.0.0.1, which other machines cannot reach; 0: any free '
    'port',
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
  run.log('serve: this address is the key to the page; Ctrl-C stops it')
  sys.stdout.flush()
  try:
    serving.wait()
  finally:
    serving.close()


def start(run: Run, port: int, suffixes: tuple[str, ...] = ()) -> 'Serving':
  """Starts a server in a thread, after every program is compiled.

  Args:
    run: the run of the program.
    port: port on 127.0.0.1; 0 for any free port.
    suffixes: suffixes of host names by which a proxy reaches the server, see
      `site.server.guard`.

  Raises:
    UserError: a library is missing, the site is not made, the port is not
      free, or a result of the run is missing.
  """
  w = run.workdir
  if absent := lacking('starlette', 'uvicorn', extra='serve'):
    raise UserError(f'serve: {absent}')
  if not hosts.alone():
    raise UserError('serve: needs a single process; start it on one host.')
  if not (w.site / 'index.html').exists():
    raise UserError(f'serve: no page in {w.site}; run the site stage first.')
  from monosem_jax.site.server import serving
  from monosem_jax.stages import live, loaded

  # Loading takes long, so a port in use is reported first.
  with serving.listen(port) as listener:
    found = loaded.load(run)
    engine = live.Engine(found, found.tokenizer.token_strings())
    run.log(f'serve: compiling for {", ".join(found.sets)}')
    sys.stdout.flush()
    engine.warm()
    return serving.start(w.site, engine, listener.dup(), suffixes)
