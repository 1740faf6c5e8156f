"""Stage `sample`: prints what a transformer says, and with features pinned.

The first sample with pins and the first without draw the same random numbers,
and so on: where they part, the pins did it. Without pins the first transformer
of the config speaks.
"""

from typing import Any

from monosem_jax.config.flags import Flag
from monosem_jax.run import Run

FLAGS = (
  Flag(
    name='pin',
    kind=str,
    default='',
    shown='A/1/3450=max,...',
    help="features held at a value: a number, or a multiple of the feature's "
    'maximum (max, 2max, -1.5max)',
  ),
  Flag(
    name='prompt',
    kind=str,
    default=None,
    shown='TEXT',
    help='what is continued (1,2,3,4,5,6,7,8,9,10)',
  ),
  Flag('tokens', int, 64, '64', 'by how many tokens', least=1),
  Flag('samples', int, 3, '3', 'how many times', least=1),
  Flag(
    name='temperature',
    kind=float,
    default=1.0,
    shown='1',
    help='of the draw; 0 takes the likeliest token',
    least=0.0,
  ),
  Flag(
    name='top_k',
    kind=int,
    default=0,
    shown='0',
    help='draw from so many of the likeliest tokens; 0: all',
    least=0,
  ),
  Flag('seed', int, 0, '0', 'of the draws', least=0, most=2**32 - 1),
)


def execute(run: Run, **flags: Any) -> None:
  from monosem_jax.stages.sample import pinned

  pinned.print_samples(run, **flags)
