"""Compares initializations and placements of resampled features.

  python launch/recipe_trials.py --config=configs/quickstart.py \\
      --workdir=runs/trials [--seeds=3] [--config.KEY=VALUE ...]

It trains the config's main dictionary once for every choice and seed. All share
one stream of one transformer. All use `sae.l1` and no search for it, so that
choices are compared at the same penalty. It prints the table that is quoted in
`monosem_jax/dictionary/place.py`: means and standard deviations over seeds, on
the held-out text of `evaluation.contexts`. After any stop, the same command
continues.

  loss       mean squared error + l1 * sum of activations, which is minimized
  working    features with a density above 1e-3
  dense      features with a density above 1e-2
  low mode   features in the low mode, see `features.census`
  silent     features that never fire on that text
  resampled  features that were resampled in the whole training
"""

import argparse
import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Mapping

import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
# Makes the package importable without installing it.
sys.path.insert(0, str(ROOT))

from monosem_jax import main as command, stages  # noqa: E402
from monosem_jax.config import load as configs, settings  # noqa: E402
from monosem_jax.config.errors import UserError  # noqa: E402
from monosem_jax.config.names import main_dictionary, model_of  # noqa: E402
from monosem_jax.features import census  # noqa: E402
from monosem_jax.interop import saelens  # noqa: E402
from monosem_jax.run import Run  # noqa: E402
from monosem_jax.run.files import read_json, write_json  # noqa: E402
from monosem_jax.run.workdir import Workdir  # noqa: E402
from monosem_jax.stages import configuration  # noqa: E402
from monosem_jax.stages.lm import training as lm_stage  # noqa: E402
from monosem_jax.stages.sae import evaluation  # noqa: E402
from monosem_jax.text.store import TokenStore  # noqa: E402

WORKING, DENSE = 1e-3, 1e-2

# The settings of the dictionary and of its resampling that each choice changes.
# An `l1` is a multiple of the config's.
DATA = {'init': 'data'}
RESIDUAL = {'placement': 'residual'}
CHOICES: dict[str, tuple[dict, dict]] = {
  'paper, never resampled': ({}, {'steps': ()}),
  'paper, paper': ({}, {}),
  'paper, residual': ({}, RESIDUAL),
  'tied, never resampled': ({'init': 'tied'}, {'steps': ()}),
  'tied, residual': ({'init': 'tied'}, RESIDUAL),
  'data, never resampled': (DATA, {'steps': ()}),
  'data, residual': (DATA, RESIDUAL),
  '... fires_on 0.02': (DATA | {'fires_on': 0.02}, RESIDUAL),
  '... fires_on 0.001': (DATA | {'fires_on': 0.001}, RESIDUAL),
  '... l1 x 0.7': (DATA | {'l1': 0.7}, RESIDUAL),
  '... lr_decay 0.2': (DATA | {'lr_decay': 0.2}, RESIDUAL),
  '... lr_decay 0.2, l1_warmup 0.1': (
    DATA | {'lr_decay': 0.2, 'l1_warmup': 0.1},
    RESIDUAL,
  ),
}
COLUMNS = {
  'loss': '.4f',
  'explained variance': '.1%',
  'loss recovered': '.1%',
  'L0': '.1f',
  'working': '.0f',
  'dense': '.0f',
  'low mode': '.0f',
  'silent': '.0f',
  'resampled': '.0f',
}


def trials(
  c: settings.Dictionary, seeds: int
) -> dict[tuple[str, int], settings.Dictionary]:
  """The settings of every choice with every seed."""
  bare = dataclasses.replace(
    c,
    init='paper',
    l1_target_l0=0.0,
    l1_warmup=0.0,
    lr_decay=0.0,
    resampling=dataclasses.replace(c.resampling, placement='paper'),
  )
  return {
    (name, seed): dataclasses.replace(
      bare,
      seed=seed,
      resampling=dataclasses.replace(bare.resampling, **resampling),
      **own | {'l1': c.l1 * own.get('l1', 1.0)},
    )
    for (name, (own, resampling)), seed in itertools.product(
      CHOICES.items(), range(seeds)
    )
  }


def measured(w: Workdir, name: str, numbers: dict) -> dict[str, float]:
  """The columns of one trial.

  Args:
    w: the work directory.
    name: name of the dictionary.
    numbers: result of `dictionary.evaluate`.
  """
  training, tokens = read_json(w.training(name)), numbers['sample_tokens']
  scale, fired_F = training['input_scale'], numbers['fired_F']
  sae = saelens.load(w.dictionary(name))
  cosine_F = census.cosine(sae.W_enc_AF, sae.W_dec_FA)
  found = census.counts(census.classify(fired_F, tokens, cosine_F).class_F)
  recovered = numbers['loss_recovered']
  return {
    'loss': scale**2 * numbers['mse']
    + training['l1'] * scale * numbers['l1_norm'],
    'explained variance': numbers['explained_variance'],
    # The table shows nan if zero ablation costs nothing.
    'loss recovered': np.nan if recovered is None else recovered,
    'L0': numbers['l0'],
    'working': (fired_F > WORKING * tokens).sum(),
    'dense': (fired_F > DENSE * tokens).sum(),
    'low mode': found['low_mode'],
    'silent': numbers['silent'],
    'resampled': sum(count for _, count in training['resampled']),
  }


def table(rows: Mapping[tuple[str, int], dict[str, float]]) -> str:
  """A Markdown table of means over seeds, followed by standard deviations."""
  lines = [
    '| init, placement | ' + ' | '.join(COLUMNS) + ' |',
    '|---|' + '---:|' * len(COLUMNS),
  ]
  for choice in dict.fromkeys(name for name, _ in rows):
    cells = []
    for column, form in COLUMNS.items():
      x = np.array([r[column] for (n, _), r in rows.items() if n == choice])
      spread = f' ± {x.std(ddof=1):{form}}' if x.size > 1 else ''
      cells.append(f'{x.mean():{form}}{spread}')
    lines.append(f'| {choice} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def main(argv: list[str]) -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--config', default='configs/quickstart.py')
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--seeds', type=int, default=3)
  flags, rest = parser.parse_known_args(argv[1:])
  unknown = [flag for flag in rest if not flag.startswith('--config.')]
  if unknown:
    raise UserError(f'unknown flag {unknown[0]}; see --help.')
  if flags.seeds < 1:
    raise UserError(f'--seeds: must be at least 1, not {flags.seeds}.')
  config = configuration.load(flags.config, [flag[9:] for flag in rest])
  tried = main_dictionary(config)
  model = model_of(config, tried)
  wanted = trials(config.dictionaries[tried], flags.seeds)
  names = {trial: f'{model}{i}' for i, trial in enumerate(wanted)}
  w = Workdir(pathlib.Path(flags.workdir))
  run = Run(
    dataclasses.replace(
      config,
      models={model: config.models[model]},
      dictionaries={names[trial]: d for trial, d in wanted.items()},
    ),
    w,
  )
  write_json(w.settings, configs.as_dict(run.config))
  for stage in ('tokens', 'lm', 'sae'):
    stages.execute(stage, run, {})
  store = TokenStore.open(w.store)
  lm = lm_stage.load(run, store, model)
  found = evaluation.evaluated(run, store, model, lm, list(names.values()))
  print(table({t: measured(w, name, found[name]) for t, name in names.items()}))


if __name__ == '__main__':
  command.run(main)
