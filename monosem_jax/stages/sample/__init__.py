"""Stage `sample`: prints texts of a transformer, with and without pins.

The n-th samples with and without pins use the same random numbers, so that they
differ only because of the pins. The transformer is that of the pinned features,
or the first of the config.
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
    help='text to continue (default: 1,2,3,4,5,6,7,8,9,10)',
  ),
  Flag('tokens', int, 64, '64', 'tokens to sample', least=1),
  Flag('samples', int, 3, '3', 'number of texts', least=1),
  Flag(
    name='temperature',
    kind=float,
    default=1.0,
    shown='1',
    help='sampling temperature; 0 takes the likeliest token',
    least=0.0,
  ),
  Flag(
    name='top_k',
    kind=int,
    default=0,
    shown='0',
    help='sample from this many of the likeliest tokens; 0: all',
    least=0,
  ),
  Flag('seed', int, 0, '0', 'random seed', least=0, most=2**32 - 1),
)


def execute(run: Run, **flags: Any) -> None:
  from monosem_jax.stages.sample import pinned

  pinned.print_samples(run, **flags)
