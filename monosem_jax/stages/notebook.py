"""The live page in a notebook: `notebook.show(CONFIG, WORKDIR)` in a cell."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from monosem_jax.device.compile import use_cache
from monosem_jax.run import Run
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages import configuration, serve

if TYPE_CHECKING:
  from monosem_jax.site.server.serving import Serving

# Host suffixes of the frames that Colab's proxy shows.
_COLAB = ('.googleusercontent.com', '.colab.dev')


def show(
  config_file: str,
  workdir: str | pathlib.Path,
  overrides: Sequence[str] = (),
  *,
  port: int = 0,
  height: int = 800,
) -> 'Serving':
  """Serves the page of a work directory, and opens it under the cell.

  In Colab, the browser reaches the server through Colab's proxy. Elsewhere, the
  kernel must run on the browser's machine, or the port must be forwarded.

  Args:
    config_file: config of the run, such as configs/tiny.py.
    workdir: work directory of the run.
    overrides: other values, as on the command line: `lm.steps=10`.
    port: port of the server; 0 for any free port.
    height: height of the frame in pixels.

  Returns:
    The server; it has a `url`, and `close()` stops it.

  Raises:
    UserError: see `stages.serve.start`.
  """
  settings = configuration.load(str(config_file), list(overrides))
  run = Run(settings, Workdir(pathlib.Path(workdir)))
  use_cache(settings.runtime, run.log)
  try:
    from google.colab import output as colab
  except ImportError:
    colab = None
  serving = serve.start(run, port, _COLAB if colab else ())
  if colab:
    colab.serve_kernel_port_as_iframe(
      serving.port, path=serving.path, width='100%', height=str(height)
    )
  else:
    from IPython.display import IFrame, display

    display(IFrame(serving.url, '100%', height))
  return serving
