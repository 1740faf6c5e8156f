"""Writes launch/reference/README.md from a finished run.

  python -m launch.reference --workdir=runs/reference [--to=launch/reference]

The page consists of notes.md, which is written by hand, and the run's report.md
with its pictures, so that the run's tables are never typed.
"""

import argparse
import pathlib
import re
import sys

from monosem_jax.config.errors import UserError
from monosem_jax.run.files import read_json, write_file

NOTES = pathlib.Path(__file__).with_name('notes.md')
_PICTURE = re.compile(r'!\[([^\]]*)\]\(analysis/(\w+)/(\w+)\.png\)')
_LINK = re.compile(r'(?<!!)\[([^\]]+)\]\((?:analysis|site)/[^)]*\)')


def write(workdir: pathlib.Path, to: pathlib.Path) -> None:
  """Writes README.md and the pictures that it shows.

  Args:
    workdir: the work directory of a run with finished analyses.
    to: the folder to write to.

  Raises:
    UserError: the run has no report.
  """
  path = workdir / 'report.md'
  if not path.exists():
    raise UserError(f'no file {path}; run `monosem all` first.')
  config = read_json(workdir / 'config.json')
  body = path.read_text('utf-8').partition('\n')[2]

  def shown(match: re.Match) -> str:
    title, analysis, name = match.groups()
    picture = workdir / 'analysis' / analysis / f'{name}.png'
    if not picture.exists():  # the run is of a version with other pictures
      return ''
    write_file(to / f'{analysis}_{name}.png', picture.read_bytes())
    return f'![{title}]({analysis}_{name}.png)'

  body = _PICTURE.sub(shown, body)
  # Links to pages of the work directory would lead nowhere.
  lines = [x for x in body.splitlines() if not x.startswith('More on the page')]
  body = re.sub(r'\n{3,}', '\n\n', _LINK.sub(r'\1', '\n'.join(lines)))
  made = (
    f'Made by `python -m launch.reference` from the report of a run on '
    f'`text.source={config["text"]["source"]}`, '
    f'{config["tokenizer"]["vocab_size"]:,} token ids, '
    f'{config["text"]["context"]} tokens of context.'
  )
  notes = NOTES.read_text('utf-8').strip()
  write_file(to / 'README.md', f'{notes}\n\n{made}\n{body}\n'.encode())


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--workdir', required=True, type=pathlib.Path)
  parser.add_argument('--to', type=pathlib.Path, default=NOTES.parent)
  args = parser.parse_args()
  try:
    write(args.workdir, args.to)
  except UserError as e:
    print(f'error: {e}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  main()
