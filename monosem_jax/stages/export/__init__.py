"""Stage `export`: writes features in other programs' formats.

Each module of `formats` is a format.
"""

from collections.abc import Mapping

from monosem_jax.config import choices
from monosem_jax.config.flags import Flag
from monosem_jax.device import hosts
from monosem_jax.run import Run
from monosem_jax.stages.export import flags, formats


def _formats() -> str:
  """Returns all formats with their descriptions."""
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
    help='a new or empty folder to write; for html a new file, FILE.html',
  ),
  Flag(
    name='run',
    kind=str,
    default='',
    shown='A/1',
    help='the dictionary or control; the default is the main dictionary',
  ),
  Flag('features', str, '', '3,100-120', 'only these features'),
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
