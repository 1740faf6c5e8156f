"""Results of analyses: whether they are of what is there now."""

from monosem_jax.run.files import read_json
from monosem_jax.run.stamp import NAME as STAMP
from monosem_jax.run.workdir import Workdir


def why_not(
  w: Workdir, analysis: str, file: str, now: dict[str, str]
) -> str | None:
  """Why an analysis' file cannot be used; None if it can.

  Args:
    w: the work directory.
    analysis: its name.
    file: the file's.
    now: hashes of what it must have been made from.
  """
  folder = w.analysis(analysis)
  again = f'run `monosem analysis --only={analysis}` (first delete {folder})'
  if not (folder / 'numbers.json').exists():
    return f'no {folder / file}; run `monosem analysis --only={analysis}`.'
  reason = read_json(folder / 'numbers.json').get('not_here')
  if reason:
    return f'{analysis}: {reason}.'
  if not (folder / file).exists():
    return f'no {folder / file}; {again}.'
  made_from = read_json(folder / STAMP)['inputs']
  # Controls are not named there: they are made anew with the transformer.
  if any(made_from.get(k, v) != v for k, v in now.items()):
    return f'{folder} was made before what is there now; {again}.'
  return None
