"""Exports of the finished run, and what they are held to."""

import dataclasses
import functools
import gzip
import json
import pathlib
import shutil

import numpy as np
import program
import runs
import safetensors.numpy

from monosem_jax.interop.feature import Effects, Example, Feature, Group
from monosem_jax.interop.neuronpedia_source import Source
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.text.store import TokenStore

T, F, A = 16, 48, 32
HOSTILE = [
  *('</script><script>alert(1)</script>', '\u202eright to left\u2066'),
  *('nul\x00', 'line\u2028separator', 'half\ud800', 'long' * 2_500, '\n'),
  *('"quoted\\', 'عرب', '\\xd8', ' ', ''),
]


def arguments(workdir: pathlib.Path, to: pathlib.Path, *more: str) -> list[str]:
  place = [f'--config={program.config()}', f'--workdir={workdir}']
  return ['export', *place, f'--to={to}', *more]


def run(workdir, to, *more) -> None:
  code, err = program.call(*arguments(workdir, to, *more))
  assert code == 0, err


@functools.cache
def exported() -> pathlib.Path:
  """A folder with A/1 in every form, each in a folder of its name."""

  def make(path):
    shutil.copytree(program.finished(), path / 'run')
    run(path / 'run', path / 'anthropic', '--format=anthropic')
    run(path / 'run', path / 'new' / 'neuronpedia', '--format=neuronpedia')

  return program.once('exported', make)


@functools.cache
def exported_features() -> dict[int, dict]:
  to = exported() / 'anthropic'
  assert [p.name for p in to.iterdir()] == ['a1']
  found = {int(p.stem): strict(p.read_bytes()) for p in (to / 'a1').iterdir()}
  return dict(sorted(found.items()))


def strict(data: bytes) -> dict:
  """JSON that says nothing but JSON."""

  def refuse(word):
    raise AssertionError(f'{word} is not JSON')

  return json.loads(data.decode('ascii'), parse_constant=refuse)


def lines(path: pathlib.Path) -> list[dict]:
  data = path.read_bytes()
  data = gzip.decompress(data) if path.suffix == '.gz' else data
  return [strict(line) for line in data.splitlines()]


@functools.cache
def table() -> dict[str, np.ndarray]:
  path = program.finished() / 'features/A1/table.safetensors'
  return safetensors.numpy.load_file(path)


@functools.cache
def dictionary() -> dict[str, np.ndarray]:
  return safetensors.numpy.load_file(program.finished() / program.SAE)


@functools.cache
def store() -> TokenStore:
  return TokenStore.open(program.finished() / 'tokens/store')


@functools.cache
def vocabulary() -> list[str]:
  return store().tokenizer.token_strings()


@functools.cache
def transformer():
  return lm_stage.load(runs.at(program.finished()), store(), 'A')


def close(found, wanted, **tolerance) -> None:
  """Equal but for the 4 digits that are kept."""
  tolerance = {'rtol': 6e-4, 'atol': 1e-12} | tolerance
  np.testing.assert_allclose(found, wanted, **tolerance)


# --- the fields


def check(value, wanted, where: str = '') -> None:
  """Checks names in their order, types, and lengths that are said.

  `wanted` is a type, a dict, [of each], or (how many, of each).
  """
  if isinstance(wanted, dict):
    assert list(value) == list(wanted), where
    for name, part in wanted.items():
      check(value[name], part, f'{where}.{name}')
  elif isinstance(wanted, list | tuple):
    assert isinstance(value, list), where
    assert isinstance(wanted, list) or len(value) == wanted[0], where
    for part in value:
      check(part, wanted[-1], f'{where}[]')
  elif wanted is float:
    assert isinstance(value, int | float) and not isinstance(value, bool), where
  else:
    assert type(value) is wanted, f'{where}: {value!r}'


def of_examples(published):
  """(feature, group, example) of all."""
  for i, found in published.items():
    for group in found['examples_quantiles']:
      for example in group['examples']:
        yield i, group, example


def where(example: dict) -> tuple[int, np.ndarray]:
  """An example's context, and the positions of its window in it."""
  context, position = divmod(example['datapoint_ind'], T)
  first = position - example['train_token_ind']
  return context, first + np.arange(len(example['tokens_str_list']))


# --- features that no run has


def example(datapoint: int, act: float = 1.0, tokens=(1, 2, 3)) -> Example:
  tokens_W = np.array(tokens)
  acts_W = np.zeros(len(tokens))
  acts_W[1] = act
  zero_Wk = np.zeros((len(tokens), 5))
  ids_Wk = np.tile(np.arange(5), (len(tokens), 1))
  return Example(
    tokens_W=tokens_W,
    acts_W=acts_W,
    own=1,
    datapoint=datapoint,
    effects=Effects(zero_Wk[:, 0], ids_Wk, zero_Wk, ids_Wk, zero_Wk),
    residual_W=np.zeros(len(tokens)),
  )


def feature(index: int = 0, **changes) -> Feature:
  ids_L, weights_L = np.arange(10), np.linspace(2, 1, 10)
  made = Feature(
    index=index,
    density=0.25,
    max=1.0,
    sample_max=1.0,
    histogram_H=np.ones(40, np.int64),
    raised_ids_L=ids_L,
    raised_L=weights_L,
    lowered_ids_L=ids_L,
    lowered_L=-weights_L,
    logit_histogram_H=np.ones(40, np.int64),
    logit_range_2=np.array([-2.0, 2.0]),
    row_A=np.array([0.6, 0.0, -0.8]),
    neurons_n=np.zeros(0, np.int64),
    neurons_r_n=np.zeros(0),
    neurons_cosine_n=np.zeros(0),
    groups=(Group('Top Activations', None, (example(7),)),),
  )
  return dataclasses.replace(made, **changes)


SOURCE = Source(
  model='m',
  layers=1,
  width=2,
  neurons=3,
  source_set='mlp-a1',
  layer=0,
  hook=None,
  release='r',
  description='d',
  saelens='{}',
  dataset='t',
  contexts=1,
  context=3,
  created='2026-01-01T00:00:00.000Z',
)
