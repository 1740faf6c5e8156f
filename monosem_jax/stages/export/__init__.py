"""Stage `export`: writes a dictionary in the formats of others.

Each module of `formats` is one.
"""

from collections.abc import Mapping

from monosem_jax.config import choices
from monosem_jax.config.flags import Flag
from monosem_jax.device import hosts
from monosem_jax.run import Run
from monosem_jax.stages.export import flags, formats


def _formats() -> str:
  """The formats, each with what it is."""
  return '; '.join(
    f'{name}: {said}'
    for name, said in choices.summaries(formats.__name__).items()
  )


FLAGS = (
  Flag(
    name='format',
    kind=str,
    default='',
    shown='anthropic',
    help=_formats(),
  ),
  Flag(
    name='to',
    kind=str,
    default='',
    shown='DIR',
    help='the folder to write: a new or an empty one; of html the file, '
    'FILE.html',
  ),
  Flag(
    name='run',
    kind=str,
    default='',
    shown='A/1',
    help="whose features; without it the main dictionary's",
  ),
  Flag('features', str, '', '3,100-120', 'these alone'),
)


def execute(run: Run, /, **flags: str) -> None:
  """Writes the features of a dictionary or a control into a new folder or file.

  Args:
    run: the run of the program.
    **flags: the values of `FLAGS`, by name.

  Raises:
    UserError: a flag has a wrong value, something is not made yet, the folder
      has files in it, the file exists, or the disk is full.
  """
  hosts.on_first_process(lambda: _write(run, flags))


def _write(run: Run, given: Mapping[str, str]) -> None:
  unknown = '--format: unknown format'
  chosen = choices.module(formats.__name__, given['format'], unknown).FORMAT
  if chosen.suffix:
    path = flags.file(given['to'], chosen.suffix)
  else:
    path = flags.folder(given['to'])
  set_id = flags.dictionary(run.config, given['run'])
  chosen.write(run, path, set_id, given['features'])
