"""Compares all meshes of a target by the compiler's estimates.

  python launch/plan.py --target=v5p:4x4x4 --config=configs/sweep.py \\
    [--config.KEY=VALUE ...]

For every mesh that can share the dictionaries' training evenly, it compiles the
chunk, as `monosem sae --dry_run --target` does. That takes 20 seconds to some
minutes per mesh. All figures are estimates (`device/cost/estimate.py`).
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Iterator

# Makes the package importable without installing it.
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import jax

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError, full_memory
from monosem_jax.config.names import entries
from monosem_jax.device import targets
from monosem_jax.device.cost import bytes_text
from monosem_jax.device.cost.estimate import Estimate, time_text
from monosem_jax.stages import configuration, dry_run, programs

HEADER = (
  *('model', 'data x feature', 'memory', 'a chunk', 'of it sending'),
  *('activations/s', 'MFU', 'all of them'),
)


def meshes(n: int) -> Iterator[settings.Mesh]:
  """The ways to lay out n devices."""
  for feature in range(1, n + 1):
    if n % feature == 0:
      yield settings.Mesh(data=n // feature, feature=feature)


def estimate_chunk(
  config: settings.Config, model: str, names: list[str], target: targets.Target
) -> Estimate:
  """The estimate of a model's chunk on the config's mesh.

  Raises:
    UserError: the devices cannot share the work evenly.
  """
  mesh = programs.stream_mesh(config, names, target.devices)
  with jax.set_mesh(mesh):
    program, _, call = dry_run.stream_program(config, model, names, mesh)
    return dry_run.estimate_program(target, program, call, mesh)


def row(model: str, mesh: settings.Mesh, e: Estimate) -> tuple[str, ...]:
  """A line of the table."""
  whole = e.whole
  return (
    model,
    f'{mesh.data} x {mesh.feature}',
    bytes_text(e.memory) + ('' if e.fits else ' TOO MUCH'),
    time_text(whole.total),
    f'{whole.sending / whole.total:.0%}',
    f'{e.rate:,.0f}',
    f'{e.mfu:.0%}',
    time_text(e.seconds),
  )


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('--config', required=True, help='a config file')
  parser.add_argument('--target', required=True, help='such as h100:8')
  overrides = [a[9:] for a in sys.argv[1:] if a.startswith('--config.')]
  args = parser.parse_args(
    [a for a in sys.argv[1:] if not a.startswith('--config.')]
  )
  config = configuration.load(args.config, overrides)
  target = targets.find(args.target)
  found = []
  for model, names in entries(config).items():
    for mesh in meshes(len(target.devices)) if names else ():
      own = dataclasses.replace(config, mesh=mesh)
      try:
        found.append((model, mesh, estimate_chunk(own, model, names, target)))
      except (UserError, jax.errors.JaxRuntimeError) as e:
        if not (isinstance(e, UserError) or full_memory(e)):
          raise
        why = full_memory(e) or e
        print(f'{mesh.data} x {mesh.feature}: {why}', file=sys.stderr)
  # Meshes that fit in memory come first, the fastest first.
  found.sort(key=lambda x: (x[0], not x[2].fits, x[2].seconds))
  table = [HEADER, *(row(*x) for x in found)]
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  for line in table:
    cells = (x.ljust(n) for x, n in zip(line, widths, strict=True))
    print('  '.join(cells).rstrip())


if __name__ == '__main__':
  try:
    main()
  except UserError as e:
    print(f'error: {e}', file=sys.stderr)
    sys.exit(2)
