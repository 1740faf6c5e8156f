"""Measures how fast the program is.

  python -m launch.benchmark [NAME ...] [--peers=PYTHON] [--device=cpu]
    [--json=FILE]

step          one training step of a dictionary, 512 -> 4,096, batch 8,192,
              beside SAELens and dictionary_learning.
scale         the step for 512 to 131,072 features.
batch         the step for several batch sizes.
sparse        the step for 32,768 and 131,072 features, batch 1,024, beside the
              other systems. With them it takes 12 GB.
stream        tokens to trained activations (forward, shuffle, steps), as a
              share of the bare step's rate.
dictionaries  1 to 8 dictionaries of 512 -> 1,024 on one stream, as a multiple
              of as many bare steps.
train         a whole training, 512 -> 4,096, beside SAELens' own on the same
              transformer and tokens.
pipeline      the stream in A/1's shape (a smaller one on a CPU), and the time
              of its parts.
lm            a training step of the transformer.
features      the features pass, as a multiple of the bare forward and encode.

Steps are measured dense and sparse (`settings.Dictionary.sparse`), by default
on dictionaries with 50 active features. PYTHON is an interpreter that has the
other systems installed. They run on a CPU and take turns with ours in every
round. On a CPU everything is float32; on an accelerator matrix products are
bfloat16, and chunks and batches are larger. Every figure is a median over
rounds. Quote ratios, since the speed of a shared machine drifts. FLOP/s count
the matrix products that the result needs. MFU is their share of the device's
peak, if `cost.hardware` knows the device. FILE receives all figures, and is
updated after each benchmark.
"""

import argparse
import importlib
import json
import pathlib

import jax

from launch.benchmark.measure import on_cpu
from launch.benchmark.peers import serve

# Each is a module of this folder with `bench(rounds, peers)`.
QUESTIONS = (
  *('step', 'scale', 'batch', 'sparse', 'stream', 'dictionaries', 'train'),
  *('pipeline', 'lm', 'features'),
)


def module(name: str):
  return importlib.import_module(f'launch.benchmark.{name}')


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  parser.add_argument('what', nargs='*', help='default: all')
  parser.add_argument('--peers', help='a Python with the other systems')
  parser.add_argument(
    '--rounds', type=int, default=0, help='0: the default of each benchmark'
  )
  parser.add_argument(
    '--device', help="cpu, cuda or tpu; default: JAX's own choice"
  )
  parser.add_argument(
    '--json', type=pathlib.Path, help='a file for all figures'
  )
  parser.add_argument('--worker', help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.device:
    jax.config.update('jax_platforms', args.device)
  if args.worker:
    arguments = json.loads(args.what[0])
    serve(lambda: module(args.worker).work(**arguments))
    return
  unknown = set(args.what) - set(QUESTIONS)
  if unknown:
    parser.error(
      f'unknown: {", ".join(unknown)} (known: {", ".join(QUESTIONS)})'
    )
  if args.peers and not on_cpu():
    parser.error('--peers: other systems run on a CPU only; add --device=cpu')
  told = {'device': jax.devices()[0].device_kind, 'jax': jax.__version__}
  for name in args.what or QUESTIONS:
    speeds = module(name).bench(args.rounds, args.peers)
    told[name] = {key: speed.told() for key, speed in speeds.items()}
    if args.json:
      args.json.write_text(json.dumps(told, indent=1))


if __name__ == '__main__':
  main()
