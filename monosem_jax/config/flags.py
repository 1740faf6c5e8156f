"""Flags of the command line, as data."""

import dataclasses
import textwrap
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Flag:
  """A flag.

  Attributes:
    name: without the dashes.
    kind: str, int, float or bool.
    default: the value without it.
    shown: what stands for its value in the help: `--name=shown`.
    help: what it does.
    least: the least value that it takes; None for no bound.
    most: the largest.
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
    help='where everything is kept; runs/NAME for a config given by name',
  ),
  Flag(
    name='dry_run',
    kind=bool,
    default=False,
    shown='',
    help='print what would be done, and leave',
  ),
  Flag(
    name='target',
    kind=str,
    default='',
    shown='v5p:4x4x4',
    help='with --dry_run: hardware to compile for, which need not be here: '
    'v4, v5e, v5p, v6e (chips along each side of a slice), a100, h100, h200, '
    'b200 (how many: h100:8)',
  ),
  Flag('help', bool, False, '', 'print this; with a stage, what it does'),
)
# Flags of runs in many processes.
TOGETHER = (
  Flag(
    name='distributed',
    kind=bool,
    default=False,
    shown='',
    help='where jax finds the others: TPU pods, SLURM, GKE, ...',
  ),
  Flag(
    name='coordinator',
    kind=str,
    default=None,
    shown='HOST:PORT',
    help='elsewhere, this and the next two: where process 0 may listen',
  ),
  Flag('num_processes', int, None, 'N', 'how many there are'),
  Flag('process_id', int, None, 'I', 'which of them this is, from 0'),
  Flag(
    name='join_seconds',
    kind=int,
    default=300,
    shown='300',
    help='how long they wait for each other',
    least=1,
  ),
)


def described(flags: Sequence[Flag]) -> str:
  """A paragraph for each flag, in two columns."""
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
