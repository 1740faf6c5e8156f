"""Stage `export`: writes a dictionary in the formats of others.

Each module of `formats` is one.
"""

from monosem_jax.config import choices
from monosem_jax.config.flags import Flag
from monosem_jax.device import hosts
from monosem_jax.run.workdir import Workdir
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


def run(w: Workdir, *, format: str, run: str, to: str, features: str) -> None:
  """Writes the features of a dictionary or a control into a new folder or file.

  Args:
    w: the work directory.
    format: a module of `formats`.
    run: whose features, by the paper's name: A/1; '' for the main dictionary.
    to: the folder, which must not be there, or be empty; of a format that
      writes one file, the file, which must not be there.
    features: which of them, such as 3,17,100-120; '' for all.

  Raises:
    UserError: a flag says what cannot be, something is not made yet, `to` has
      something in it, or the disk is full.
  """
  hosts.on_first_process(lambda: _write(w, format, run, to, features))


def _write(w: Workdir, form: str, run: str, to: str, features: str) -> None:
  unknown = '--format: unknown format'
  chosen = choices.module(formats.__name__, form, unknown).FORMAT
  if chosen.suffix:
    path = flags.file(to, chosen.suffix)
  else:
    path = flags.folder(to)
  chosen.write(w, path, flags.dictionary(w, run), features)
