"""Command line: `monosem STAGE --config=FILE --workdir=DIR [--config.x=y]`."""

import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Callable

from absl import flags

from monosem_jax.config.errors import (
  Stopped,
  UserError,
  full_disk,
  full_memory,
  nearest,
)
from monosem_jax.config.flags import SHARED, TOGETHER, Flag
from monosem_jax.device import hosts


def _parsed(argv: list[str]) -> tuple[flags.FlagValues, list[str]]:
  """Returns the values of all flags, and the words that are not flags.

  Raises:
    UserError: a flag does not exist, or does not accept its value.
  """
  from monosem_jax import stages

  own = (flag for name in stages.NAMES for flag in stages.flags(name))
  values = flags.FlagValues()
  for flag in (*SHARED, *TOGETHER, *own):
    _define(flag, values)
  try:
    return values, values(argv)[1:]
  except flags.Error as e:
    line = str(e).partition('\n')[0]
    if isinstance(e, flags.UnrecognizedFlagError) and 'mean' not in line:
      line += nearest(e.flagname, values)
    raise UserError(line) from e


def _define(flag: Flag, values: flags.FlagValues) -> None:
  defines: dict[type, Callable[..., object]] = {
    str: flags.DEFINE_string,
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
  }
  bounds = {'lower_bound': flag.least, 'upper_bound': flag.most}
  bounds = {k: v for k, v in bounds.items() if v is not None}
  define = defines[flag.kind]
  define(flag.name, flag.default, flag.help, flag_values=values, **bounds)


def _stage(words: list[str], values: flags.FlagValues) -> str:
  """Returns the stage that the command line names.

  Raises:
    UserError: it does not name one stage, or a flag belongs to another stage.
  """
  from monosem_jax import stages

  for word in words:
    if word not in stages.NAMES:
      raise UserError(f'unknown stage {word!r}{nearest(word, stages.NAMES)}.')
  if len(words) != 1:
    raise UserError(f'one stage is needed, not {len(words)}; see --help.')
  (stage,) = words
  for name in stages.NAMES:
    for flag in stages.flags(name):
      if values[flag.name].present and name != stage:
        raise UserError(
          f'--{flag.name} is a flag of the stage {name}, not of {stage}.'
        )
  return stage


def main(argv: list[str]) -> None:
  """Runs one stage; raises UserError for every error that a user can fix."""
  from monosem_jax.stages import usage

  overrides = [a[9:] for a in argv if a.startswith('--config.')]
  given, words = _parsed([a for a in argv if not a.startswith('--config.')])
  if len(argv) == 1 or (given.help and not words):
    print(usage.of_all())
    return
  stage = _stage(words, given)
  if given.help:
    print(usage.of(stage))
    return
  from monosem_jax import stages
  from monosem_jax.config import load as config, packaged
  from monosem_jax.run import Run
  from monosem_jax.run.files import write_json
  from monosem_jax.run.shared import require_shared
  from monosem_jax.run.workdir import Workdir

  own = {flag.name: given[flag.name].value for flag in stages.flags(stage)}
  folder = given.workdir or packaged.workdir(given.config or '')
  root = pathlib.Path(folder or '.')
  file: str | None = given.config
  if stage == 'status' and given.workdir and not file:
    file = str(root / 'config.json')
  if file:
    packaged.find(file)  # a misspelt name has no folder either
  if not file or not (folder or given.dry_run):
    raise UserError('--config=FILE and --workdir=DIR are needed; see --help.')
  if given.target and not given.dry_run:
    raise UserError('--target needs --dry_run: nothing can run on it here.')
  # `status` only reads, and needs no jax.
  load = config.load
  if stage != 'status':
    from monosem_jax.stages import configuration

    load = configuration.load
  settings = load(file, overrides)
  run = Run(settings, Workdir(root))
  if root.exists() and not root.is_dir():
    raise UserError(f'--workdir: {root} is a file, not a folder.')
  if stage == 'status':
    stages.declaration(stage).execute(run, **own)
    return
  with hosts.together(
    given.distributed,
    given.coordinator,
    given.num_processes,
    given.process_id,
    given.join_seconds,
  ):
    if given.dry_run:
      from monosem_jax.device import targets
      from monosem_jax.stages import dry_run

      target = targets.find(given.target) if given.target else None
      run.log(dry_run.describe(run, target))
      return
    hosts.require_same(
      'the stage, one of its flags, or a key of the config',
      [stage, own, config.as_dict(settings)],
    )
    # A network file system may cache for a minute that a file is missing.
    require_shared(root, min(60, given.join_seconds))
    kept = run.workdir.settings
    keep = lambda: write_json(kept, config.as_dict(settings))
    hosts.on_first_process(lambda: kept.exists() or keep())
    stages.execute(stage, run, own)
    # The last step, so that a refused run changes nothing.
    hosts.on_first_process(keep)


_LESS = """\
error: the device has too little memory: {}
Lower lm.micro_batch, stream.micro_batch, stream.contexts_per_chunk,
evaluation.batch_size or features.batch_size. --dry_run prints the memory of
each part."""


def _interrupt(signum, frame) -> None:
  raise KeyboardInterrupt(signum)


def run(work: Callable[[list[str]], None] = main) -> None:
  """The console script: turns errors into one message and an exit code.

  Args:
    work: takes the command line; scripts in launch/ pass their own.
  """
  # Outside a training, SIGTERM ends the program like Ctrl-C, but with its own
  # exit code.
  signal.signal(signal.SIGTERM, _interrupt)
  message: str | None
  try:
    work(sys.argv)
  except UserError as e:
    code, message = 2, f'error: {e}'
  except Stopped as e:
    code = 128 + e.signum
    message = f'{e}\nThe same command goes on from here.'
  except KeyboardInterrupt as e:
    code = 128 + (e.args or (signal.SIGINT,))[0]
    message = 'Stopped.\nThe same command goes on from here.'
  except BrokenPipeError:  # such as `monosem status | head`
    code, message = 128 + signal.SIGPIPE, 'error: the output was closed.'
    # Python flushes once more when it exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  except Exception as e:
    code, message = hosts.TRY_AGAIN, hosts.lost(e)
    if full_disk(e):
      code, message = 2, f'error: disk full: {e}. Make room and start again.'
    if said := full_memory(e):
      code, message = 2, _LESS.format(said)
    if message is None:
      hosts.abandon(1, f'error: {traceback.format_exc()}')
      raise
  else:
    return
  hosts.abandon(code, message)
  print(message, file=sys.stderr, flush=True)
  sys.exit(code)


if __name__ == '__main__':
  run()
