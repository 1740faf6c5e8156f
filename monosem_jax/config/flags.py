"""The flags of the command line, as data."""

import dataclasses
import textwrap
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Flag:
  """A command-line flag.

  Attributes:
    name: its name without the dashes.
    kind: str, int, float or bool.
    default: its value if it is not given.
    shown: placeholder for its value in the help: `--name=shown`.
    help: its description.
    least: smallest allowed value; None for no bound.
    most: largest allowed value; None for no bound.
  """

  name: str
  kind: type
  default: str | float | bool | None
  shown: str
  help: str
  least: float | None = None
  most: float | None = None


# Flags of every stage.
SHARED = (
  Flag(
    name='config',
    kind=str,
    default=None,
    shown='FILE',
    help='a config file, such as configs/tiny.py, or the name of one that '
    'comes with the program: --config=tiny',
  ),
  Flag(
    name='workdir',
    kind=str,
    default=None,
    shown='DIR',
    help='the folder for all results; runs/NAME for a config given by name',
  ),
  Flag(
    name='dry_run',
    kind=bool,
    default=False,
    shown='',
    help='print what would run, then exit',
  ),
  Flag(
    name='target',
    kind=str,
    default='',
    shown='v5p:4x4x4',
    help='with --dry_run: compile for this hardware, which need not be '
    'present: v4, v5e, v5p, v6e (chips along each side of a slice), a100, '
    'h100, h200, b200 (number of GPUs: h100:8)',
  ),
  Flag('help', bool, False, '', 'print this help, or that of a stage'),
)
# Flags of runs in several processes.
TOGETHER = (
  Flag(
    name='distributed',
    kind=bool,
    default=False,
    shown='',
    help='if jax can find the processes itself: TPU pods, SLURM, GKE, ...',
  ),
  Flag(
    name='coordinator',
    kind=str,
    default=None,
    shown='HOST:PORT',
    help='otherwise, together with the next two flags: the address of process '
    '0',
  ),
  Flag('num_processes', int, None, 'N', 'the number of processes'),
  Flag('process_id', int, None, 'I', 'the number of this process, from 0'),
  Flag(
    name='join_seconds',
    kind=int,
    default=300,
    shown='300',
    help='seconds that processes wait for each other at the start',
    least=1,
  ),
)


def described(flags: Sequence[Flag]) -> str:
  """Returns the help of flags in two columns, a paragraph per flag."""
  heads = [f'--{f.name}' + (f'={f.shown}' if f.shown else '') for f in flags]
  width = max(map(len, heads)) + 4
  return '\n'.join(
    textwrap.fill(
      flag.help,
      width=80,
      initial_indent=f'  {head}'.ljust(width),
      subsequent_indent=' ' * width,
      break_on_hyphens=False,
    )
    for flag, head in zip(flags, heads, strict=True)
  )
