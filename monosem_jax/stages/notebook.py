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

# Where Colab's proxy has the frames that it shows.
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

  In Colab the browser reaches the server through Colab's own proxy; elsewhere
  the notebook's kernel must run on the machine of the browser, or the port be
  forwarded to it.

  Args:
    config_file: such as configs/tiny.py.
    workdir: where the run is.
    overrides: other values, as on the command line: `lm.steps=10`.
    port: where to serve; 0: where it is free.
    height: of the frame, in pixels.

  Returns:
    What has a `url`, and a `close()` that ends it.

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
