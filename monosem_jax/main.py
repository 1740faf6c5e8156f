"""Command line: `monosem STAGE --config=FILE --workdir=DIR [--config.x.y=z]`.

Stages, each using what the ones before it left in the work directory:

  tokens    documents -> tokenizer, packed token ids
  lm        trains the transformer on them
  sae       streams its activations into the dictionaries, and measures these
  features  finds where every feature fires and what it predicts
  analysis  measures the paper's claims about them, beside controls
  site      writes the page: DIR/site/index.html
  all       all of these; skips what is complete, resumes what is half done

and those that stand for themselves:

  toy       why dictionaries, on models so small that the truth is known
  sample    prints what a transformer says, and says with features pinned
  export    writes a dictionary in the formats of others
  serve     the page of the stage site, alive: probes texts, pins features

Flags:

  --config=FILE         a config file, such as configs/tiny.py
  --workdir=DIR         where everything is kept
  --config.KEY=VALUE    another value for one of the config's keys
  --dry_run             print what would be done, and leave
  --target=v5p:4x4x4    of a dry run: the hardware that it is of, which need not
                        be here: v4, v5e, v5p, v6e (chips along each side of a
                        slice), a100, h100, h200, b200 (how many: h100:8)
  --help                print this

Flag of analysis:

  --only=A,B            these alone: density, preserved, logits, ablation,
                        neurons, neighbours, texts, proxies, steering,
                        universality, splitting, geometry, automata

Flags of sample:

  --pin=A/1/3450=max,...  features held at a value: a number, or a multiple of
                          the feature's maximum (max, 2max, -1.5max); without
                          it the config's first transformer speaks
  --prompt=TEXT           what is continued (1,2,3,4,5,6,7,8,9,10)
  --tokens=64             by how many tokens
  --samples=3             how many times
  --temperature=1         of the draw; 0 takes the likeliest token
  --top_k=0               draw from so many of the likeliest tokens; 0: all
  --seed=0                of the draws

Flags of export:

  --format=anthropic    the JSON published beside the paper; neuronpedia: the
                        files of its bulk import; html: the page of at most 200
                        features in one file, which needs nothing else
  --to=DIR              the folder to write: a new or an empty one; of html the
                        file, FILE.html
  --run=A/1             whose features; without it the main dictionary's
  --features=3,100-120  these alone

Flag of serve:

  --port=8000           where on this machine, which others cannot reach; 0: any
                        that is free

On many hosts, or in many processes, each runs the same command, with

  --distributed         where jax finds the others: TPU pods, SLURM, GKE, ...

or, elsewhere, with the three of

  --coordinator=HOST:PORT  where process 0 may listen
  --num_processes=N        how many there are
  --process_id=I           which of them this is, from 0

--join_seconds (300) is how long they wait for each other. All must see the same
--workdir. They end together: with exit code 75 and a line if one of them dies.

Example:

  monosem all --config=configs/tiny.py --workdir=runs/tiny --config.sae.l1=4e-3
"""

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
from monosem_jax.device import hosts

_FLAGS = flags.FlagValues()
flags.DEFINE_string('config', None, 'Config file.', flag_values=_FLAGS)
flags.DEFINE_string('workdir', None, 'Work directory.', flag_values=_FLAGS)
flags.DEFINE_bool(
  'dry_run', False, 'Print what would be done, and leave.', flag_values=_FLAGS
)
flags.DEFINE_string('target', '', 'Hardware.', flag_values=_FLAGS)
flags.DEFINE_bool(
  'distributed', False, 'Many processes, found by jax.', flag_values=_FLAGS
)
flags.DEFINE_string(
  'coordinator', None, 'HOST:PORT of process 0.', flag_values=_FLAGS
)
flags.DEFINE_integer(
  'num_processes', None, 'How many there are.', flag_values=_FLAGS
)
flags.DEFINE_integer(
  'process_id', None, 'Which of them this is.', flag_values=_FLAGS
)
flags.DEFINE_integer(
  'join_seconds',
  300,
  'How long to wait for the others.',
  lower_bound=1,
  flag_values=_FLAGS,
)
flags.DEFINE_bool('help', False, 'Print this.', flag_values=_FLAGS)
flags.DEFINE_string('only', '', 'Some analyses.', flag_values=_FLAGS)
flags.DEFINE_string('pin', '', 'Features and values.', flag_values=_FLAGS)
flags.DEFINE_string('prompt', None, 'What is continued.', flag_values=_FLAGS)
flags.DEFINE_integer(
  'tokens', 64, 'By how many.', lower_bound=1, flag_values=_FLAGS
)
flags.DEFINE_integer(
  'samples', 3, 'How many times.', lower_bound=1, flag_values=_FLAGS
)
flags.DEFINE_float(
  'temperature', 1.0, 'Of the draw.', lower_bound=0.0, flag_values=_FLAGS
)
flags.DEFINE_integer(
  'top_k', 0, 'Tokens drawn from.', lower_bound=0, flag_values=_FLAGS
)
flags.DEFINE_integer(
  'seed',
  0,
  'Of the draws.',
  lower_bound=0,
  upper_bound=2**32 - 1,
  flag_values=_FLAGS,
)
flags.DEFINE_string('format', '', 'Of an export.', flag_values=_FLAGS)
flags.DEFINE_string('to', '', 'Where an export goes.', flag_values=_FLAGS)
flags.DEFINE_string('run', '', 'Whose features.', flag_values=_FLAGS)
flags.DEFINE_string('features', '', 'Which of them.', flag_values=_FLAGS)
flags.DEFINE_integer(
  'port',
  8000,
  'Where to serve.',
  lower_bound=0,
  upper_bound=65_535,
  flag_values=_FLAGS,
)
# Flags that one stage alone takes.
_OF_STAGE = {
  'analysis': ('only',),
  'export': ('format', 'to', 'run', 'features'),
  'serve': ('port',),
  'sample': (
    *('pin', 'prompt', 'tokens', 'samples', 'temperature', 'top_k', 'seed'),
  ),
}


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
  from monosem_jax import stages
  from monosem_jax.config import load as config
  from monosem_jax.device import targets
  from monosem_jax.run.workdir import OTHER_STAGES, STAGES, Workdir
  from monosem_jax.stages import configuration, dry_run

  known = (*STAGES, *OTHER_STAGES, 'all')
  for word in rest[1:]:
    if word not in known:
      raise UserError(f'unknown stage {word!r}{nearest(word, known)}.')
  if len(rest) != 2:
    raise UserError(f'one stage is needed, not {len(rest) - 1}; see --help.')
  for stage, names in _OF_STAGE.items():
    for name in names:
      if _FLAGS[name].present and rest[1] != stage:
        raise UserError(
          f'--{name} is a flag of the stage {stage}, not of {rest[1]}.'
        )
  own = {name: _FLAGS[name].value for name in _OF_STAGE.get(rest[1], ())}
  if not _FLAGS.config or not (_FLAGS.workdir or _FLAGS.dry_run):
    raise UserError('--config=FILE and --workdir=DIR are needed; see --help.')
  if _FLAGS.target and not _FLAGS.dry_run:
    raise UserError('--target is of a --dry_run: nothing can run on it here.')
  settings = configuration.load(_FLAGS.config, overrides)
  w = Workdir(pathlib.Path(_FLAGS.workdir or '.'), settings)
  if w.root.exists() and not w.root.is_dir():
    raise UserError(f'--workdir: {w.root} is a file, not a folder.')
  with hosts.together(
    _FLAGS.distributed,
    _FLAGS.coordinator,
    _FLAGS.num_processes,
    _FLAGS.process_id,
    _FLAGS.join_seconds,
  ):
    if _FLAGS.dry_run:
      target = targets.find(_FLAGS.target) if _FLAGS.target else None
      w.log(dry_run.describe(w, target))
      return
    hosts.require_same(
      'the stage, a flag of it, or a key of the config',
      [rest[1], own, config.as_dict(settings)],
    )
    # A network file system may remember for a minute what was not there.
    w.require_shared(min(60, _FLAGS.join_seconds))
    hosts.on_first_process(lambda: w.settings.exists() or w.write_config())
    stages.run(rest[1], w, own)
    # Only now: a run that is refused changes nothing.
    hosts.on_first_process(w.write_config)


_LESS = """\
error: the device has too little memory: {}
A smaller lm.micro_batch, stream.micro_batch, stream.contexts_per_chunk,
evaluation.batch_size or features.batch_size takes less; --dry_run says how much
each part takes."""


def _one_line(error: flags.Error) -> str:
  line = str(error).partition('\n')[0]
  if isinstance(error, flags.UnrecognizedFlagError) and 'mean' not in line:
    line += nearest(error.flagname, _FLAGS)
  return line


def _interrupt(signum, frame) -> None:
  raise KeyboardInterrupt(signum)


def run(work: Callable[[list[str]], None] = main) -> None:
  """The console script: errors to one message and an exit code.

  Args:
    work: what is given the command line; scripts that train give their own.
  """
  # Where no chunk can be finished first: as Ctrl-C, but another exit code.
  signal.signal(signal.SIGTERM, _interrupt)
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
