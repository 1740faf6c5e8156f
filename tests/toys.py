"""The stage `toy` in seconds, and what it leaves."""

import functools
import json
import pathlib

import program

PARTS = ('superposition', 'binary_neuron', 'penalty', 'topics', 'planted')
TINY = [
  f'--config.toy.{key}'
  for key in (
    'superposition.features=6',
    'superposition.dimensions=2',
    'superposition.sparsities=0,0.9',
    'superposition.steps=300',
    'superposition.batch_size=64',
    'binary_neuron.starts=4',
    'penalty.features=6',
    'penalty.neurons=2',
    'penalty.penalties=0,0.1',
    'penalty.starts=2',
    'penalty.steps=300',
    'topics.topics=4',
    'topics.words=4',
    'topics.context=8',
    'topics.d_model=8',
    'topics.d_mlp=8',
    'topics.penalties=0,1e6',
    'topics.l1s=0.01,0.1',
    'topics.steps=60',
    'topics.batch_size=32',
    'topics.features=16',
    'topics.dictionary_contexts=4',
    'topics.chunks=2',
    'topics.eval_contexts=64',
    'topics.seeds=2',
    'planted.width=8',
    'planted.directions=12',
    'planted.samples=256',
    'planted.batch_size=64',
    'planted.features=16',
    'planted.passes=2',
    'planted.held_out=64',
    'planted.search=1,3',
  )
]


@functools.cache
def finished() -> tuple[pathlib.Path, str]:
  """A work directory with every toy, and what the stage printed."""

  def make(folder):
    said = program.run('toy', folder / 'run', *TINY).stdout
    (folder / 'said').write_text(said)

  folder = program.once('toy', make)
  return folder / 'run', (folder / 'said').read_text()


def results(workdir: pathlib.Path) -> dict:
  """The numbers of all parts, without what a clock says."""
  found = json.loads((workdir / 'toy/toy.json').read_text())
  for row in found['planted']['learners']:
    del row['seconds'], row['searching'], row['compiling']
    for tried in row['tried']:
      del tried['seconds']
  del found['planted']['summary']
  return found
