"""Command line: `monosem STAGE --config=FILE --workdir=DIR [--config.x.y=z]`.

Stages, each using what the ones before it left in the work directory:

  tokens    documents -> tokenizer, packed token ids
  lm        trains the transformer on them
  sae       streams its activations into the dictionaries, and measures these
  features  finds where every feature fires and what it predicts
  site      writes the page: DIR/site/index.html
  all       all of these; skips what is complete, resumes what is half done

Flags:

  --config=FILE         a config file, such as configs/tiny.py
  --workdir=DIR         where everything is kept
  --config.KEY=VALUE    another value for one of the config's keys
  --dry_run             print what would be done, and leave
  --help                print this

Example:

  monosem all --config=configs/tiny.py --workdir=runs/tiny --config.sae.l1=4e-3
"""

import pathlib
import signal
import sys

from absl import flags

from monosem_jax.errors import Stopped, UserError, full_disk, nearest

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
    raise UserError(_one_line(e)) from e
  if _FLAGS.help or len(argv) == 1:
    print(__doc__)
    return
  from monosem_jax import config, dry_run, stages
  from monosem_jax.workdir import STAGES, Workdir

  known = (*STAGES, 'all')
  for word in rest[1:]:
    if word not in known:
      raise UserError(f'unknown stage {word!r}{nearest(word, known)}.')
  if len(rest) != 2:
    raise UserError(f'one stage is needed, not {len(rest) - 1}; see --help.')
  if not _FLAGS.config or not (_FLAGS.workdir or _FLAGS.dry_run):
    raise UserError('--config=FILE and --workdir=DIR are needed; see --help.')
  settings = config.load(_FLAGS.config, overrides)
  w = Workdir(pathlib.Path(_FLAGS.workdir or '.'), settings)
  if _FLAGS.dry_run:
    print(dry_run.describe(w))
    return
  if w.root.exists() and not w.root.is_dir():
    raise UserError(f'--workdir: {w.root} is a file, not a folder.')
  if not w.settings.exists():
    w.write_config()
  stages.run(rest[1], w)
  w.write_config()  # only now: a run that is refused changes nothing


def _one_line(error: flags.Error) -> str:
  line = str(error).partition('\n')[0]
  if isinstance(error, flags.UnrecognizedFlagError) and 'mean' not in line:
    line += nearest(error.flagname, _FLAGS)
  return line


def _interrupt(signum, frame) -> None:
  raise KeyboardInterrupt(signum)


def run() -> None:
  """The console script: errors to one message and an exit code."""
  # Where no chunk can be finished first: as Ctrl-C, but another exit code.
  signal.signal(signal.SIGTERM, _interrupt)
  try:
    main(sys.argv)
  except UserError as e:
    code, message = 2, f'error: {e}'
  except Stopped as e:
    code = 128 + e.signum
    message = f'{e}\nThe same command goes on from here.'
  except KeyboardInterrupt as e:
    code = 128 + (e.args or (signal.SIGINT,))[0]
    message = 'Stopped.\nThe same command goes on from here.'
  except Exception as e:
    if not full_disk(e):
      raise
    code, message = 2, f'error: disk full: {e}. Make room and start again.'
  else:
    return
  print(message, file=sys.stderr, flush=True)
  sys.exit(code)


if __name__ == '__main__':
  run()
