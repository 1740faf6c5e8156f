"""The export formats, one module each: `--format`."""

import dataclasses
import pathlib
from collections.abc import Callable

from monosem_jax.config.names import SetId
from monosem_jax.run import Run


@dataclasses.dataclass(frozen=True)
class Format:
  """A format; its module declares one as `FORMAT`.

  Attributes:
    write: `write(run, path, set_id, features)` writes to `path` those features
      of a dictionary or control that the flag `features` names.
    suffix: suffix of the file to write, such as .html; '' for a folder.
  """

  write: Callable[[Run, pathlib.Path, SetId, str], None]
  suffix: str = ''
