"""Command line: `monosem STAGE --config=FILE --workdir=DIR [--config.x.y=z]`.

Stages, each using what the ones before it left in the work directory:

  tokens    documents -> tokenizer, packed token ids
  lm        trains the transformer on them
  sae       streams its activations into the dictionaries, and measures these
  features  finds where every feature fires and what it predicts
  site      writes the page: DIR/site/index.html
  all       all of these; skips what is complete, resumes what is half done

Example:

  monosem all --config=configs/tiny.py --workdir=runs/tiny --config.sae.l1=4e-3
"""

import pathlib
import sys

from absl import flags

from monosem_jax.errors import Stopped, UserError, nearest

_FLAGS = flags.FlagValues()
flags.DEFINE_string('config', None, 'Config file.', flag_values=_FLAGS)
flags.DEFINE_string('workdir', None, 'Work directory.', flag_values=_FLAGS)
flags.DEFINE_bool(
  'dry_run', False, 'Print what would be done, and leave.', flag_values=_FLAGS
)
flags.DEFINE_bool('help', False, 'Print this.', flag_values=_FLAGS)


def main(argv: list[str]) -> None:
  """Runs one stage; raises UserError for anything a user can mend."""
  overrides = [a[9:] for a in argv if a.startswith('--config.')]
  try:
    rest = _FLAGS([a for a in argv if not a.startswith('--config.')])
  except flags.Error as e:
    raise UserError(str(e).partition('\n')[0]) from e
  if _FLAGS.help or len(rest) == 1:
    print(__doc__ + _FLAGS.main_module_help())
    return
  from monosem_jax import config, dry_run, stages
  from monosem_jax.workdir import STAGES, Workdir

  stage, *more = rest[1:]
  if stage not in (*STAGES, 'all') or more:
    word = more[0] if stage in (*STAGES, 'all') else stage
    raise UserError(f'unknown stage {word!r}{nearest(word, (*STAGES, "all"))}.')
  if not _FLAGS.config or not (_FLAGS.workdir or _FLAGS.dry_run):
    raise UserError('--config=FILE and --workdir=DIR are needed; see --help.')
  settings = config.load(_FLAGS.config, overrides)
  w = Workdir(pathlib.Path(_FLAGS.workdir or '.'), settings)
  if _FLAGS.dry_run:
    print(dry_run.describe(w))
    return
  w.write_config()
  stages.run(stage, w)


def run() -> None:
  """The console script: errors to one message and an exit code."""
  try:
    main(sys.argv)
  except UserError as e:
    code, message = 2, f'error: {e}'
  except Stopped as e:
    code = 128 + e.signum
    message = f'{e}\nThe same command goes on from here.'
  else:
    return
  print(message, file=sys.stderr, flush=True)
  sys.exit(code)


if __name__ == '__main__':
  run()
