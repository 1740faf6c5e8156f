"""The text of --help, from the declarations of the stages."""

from monosem_jax import stages
from monosem_jax.config.flags import SHARED, TOGETHER, described

_HELP = """\
monosem STAGE --config=FILE --workdir=DIR [--config.KEY=VALUE ...]

--config.KEY=VALUE overrides a key of the config.

Stages; each one uses the results of the stages before it:

{flow}

Other stages:

{others}

Flags:

{shared}

{own}

With several processes or hosts, each process runs the same command with:

{together}

All processes must see the same --workdir. If one of them dies, the others end
with exit code 75 and one line.

Example:

  monosem all --config=configs/tiny.py --workdir=runs/tiny --config.sae.l1=4e-3
"""


def of_all() -> str:
  """Returns the help of the program: a line per stage, and all flags."""

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
  """Returns the help of a stage: its description and its own flags."""
  own = stages.flags(stage)
  return '\n'.join(
    [
      f'monosem {stage} --config=FILE --workdir=DIR [--config.KEY=VALUE ...]',
      '',
      stages.description(stage),
      *(('', 'Its flags:', '', described(own)) if own else ()),
      '',
      'Flags of every stage: monosem --help.',
    ]
  )
