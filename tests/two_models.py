"""A finished run of two models, their controls and three dictionaries."""

import functools
import json
import pathlib

import numpy as np
import program

from monosem_jax.features.table import FeatureTable

MORE = """
import runpy

def get_config():
  c = runpy.run_path({config!r})['get_config']()
  with c.unlocked():
    c.models = dict(
      A=dict(seed=0), B=dict(seed=1, data_seed=1), S=dict(shuffle_of='A')
    )
    c.dictionaries = dict(
      A0=dict(features=24), A1=dict(features=48), B1=dict(features=48),
      S1=dict(features=48),
    )
    c.analysis = dict(
      main='A1', contexts=64, control_rows=512, ica_passes=5,
      batch_size=16,
      steering=dict(
        doses=(0.0, 1.0), samples=2, tokens=4, features=2, contexts=2
      ),
      automata=dict(machines=2, contexts=4, walk=5, threshold=0.02),
    )
  return c
"""


@functools.cache
def config() -> pathlib.Path:
  text = MORE.format(config=str(program.config()))
  return program.once('more.py', lambda path: path.write_text(text))


def run(stage, workdir, *more, code=0):
  # The later flag is the one that counts.
  return program.run(stage, workdir, f'--config={config()}', *more, code=code)


@functools.cache
def finished() -> pathlib.Path:
  config()

  def make(workdir):
    for stage in ('tokens', 'lm', 'sae', 'features', 'analysis'):
      run(stage, workdir)

  return program.once('analysed', make)


def strict(path: pathlib.Path):
  def refuse(name):
    raise AssertionError(f'{path}: {name}')

  return json.loads(path.read_text(), parse_constant=refuse)


def numbers(name: str):
  return strict(finished() / 'analysis' / name / 'numbers.json')


def arrays(path: str) -> dict[str, np.ndarray]:
  with np.load(finished() / 'analysis' / path, allow_pickle=False) as found:
    return dict(found)


def table(name: str) -> FeatureTable:
  return FeatureTable.load(finished() / 'features' / name)
