"""What --help prints, put together from the declarations of the stages."""

from monosem_jax import stages
from monosem_jax.config.flags import SHARED, TOGETHER, described

_HELP = """\
monosem STAGE --config=FILE --workdir=DIR [--config.KEY=VALUE ...]

--config.KEY=VALUE sets one of the config's keys to another value.

Stages, each using what the ones before it left in the work directory:

{flow}

and those that stand for themselves:

{others}

Flags:

{shared}

{own}

On many hosts, or in many processes, each runs the same command, with

{together}

All must see the same --workdir. They end together: with exit code 75 and a line
if one of them dies.

Example:

  monosem all --config=configs/tiny.py --workdir=runs/tiny --config.sae.l1=4e-3
"""


def of_all() -> str:
  """What the program does: every stage in a line, and every flag."""

  def lines(names: tuple[str, ...]) -> str:
    return '\n'.join(f'  {name:9} {stages.summary(name)}' for name in names)

  own = [
    f'Flags of {name}:\n\n{described(stages.flags(name))}'
    for name in stages.NAMES
    if stages.flags(name)
  ]
  return _HELP.format(
    flow=lines((*stages.FLOW, 'all')),
    others=lines(stages.OTHERS),
    shared=described(SHARED),
    own='\n\n'.join(own),
    together=described(TOGETHER),
  )


def of(stage: str) -> str:
  """What a stage does, and its own flags."""
  own = stages.flags(stage)
  return '\n'.join(
    [
      f'monosem {stage} --config=FILE --workdir=DIR [--config.KEY=VALUE ...]',
      '',
      stages.description(stage),
      *(('', 'Flags of its own:', '', described(own)) if own else ()),
      '',
      'Flags of every stage: monosem --help.',
    ]
  )
