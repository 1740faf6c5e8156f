"""The config files that come with the program, by name."""

import difflib
import pathlib

from monosem_jax.config.errors import UserError

_PACKAGE = pathlib.Path(__file__).parents[1]
# A wheel has them inside the package, a checkout beside it.
FOLDER = _PACKAGE / 'configs'
if not FOLDER.is_dir():
  FOLDER = _PACKAGE.parent / 'configs'


def find(config: str) -> pathlib.Path:
  """The file that `--config` means: a path, or the name of one of ours.

  Raises:
    UserError: neither; says which ones there are.
  """
  path = pathlib.Path(config)
  if path.is_file():
    return path
  if named := _named(config):
    return named
  known = [str(p) for p in path.parent.glob('*.py')]
  if not _bare(config):
    raise UserError(f'--config: no file {config}{_near(config, known)}.')
  names = sorted(p.stem for p in FOLDER.glob('*.py'))
  raise UserError(
    f'--config: no file {config}, and no config of that name'
    f'{_near(config, [*names, *known])}; the names are {", ".join(names)}.'
  )


def workdir(config: str) -> str | None:
  """Where a config that is given by name keeps its run; None for a path."""
  if not _named(config) or pathlib.Path(config).is_file():
    return None
  return str(pathlib.Path('runs') / config)


def _bare(config: str) -> bool:
  return pathlib.Path(config).name == config


def _named(config: str) -> pathlib.Path | None:
  file = FOLDER / f'{config}.py'
  return file if config and _bare(config) and file.is_file() else None


def _near(word: str, known: list[str]) -> str:
  near = difflib.get_close_matches(word, known, n=1)
  return f' (did you mean {near[0]}?)' if near else ''
