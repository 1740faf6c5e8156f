"""Every setting of the program, with its meaning, unit and default.

Each part of the flow has a frozen dataclass. A config file (configs/*.py) sets
only what differs from these defaults; `config.load` turns it into a checked
`Config`.

A field marked `free` leaves a stage's result unchanged or only extends it (more
steps), so it may differ between a run and its continuation. All other fields
make up a stage's identity.
"""

import dataclasses
from collections.abc import Mapping

from monosem_jax.config.settings.machine import Mesh, Runtime
from monosem_jax.config.settings.measuring import (
  Analysis,
  Automata,
  Evaluation,
  Features,
  Proxies,
  Splitting,
  Steering,
  Texts,
)
from monosem_jax.config.settings.site import Site
from monosem_jax.config.settings.text import Text, Tokenizer
from monosem_jax.config.settings.toy import (
  BinaryNeuron,
  Penalty,
  Planted,
  Superposition,
  Topics,
  Toy,
)
from monosem_jax.config.settings.training import (
  Checkpoint,
  Dictionary,
  Resampling,
  Stream,
  Transformer,
)

__all__ = [
  'Analysis',
  'Automata',
  'BinaryNeuron',
  'Checkpoint',
  'Config',
  'Dictionary',
  'Evaluation',
  'Features',
  'Mesh',
  'Penalty',
  'Planted',
  'Proxies',
  'Resampling',
  'Runtime',
  'Site',
  'Splitting',
  'Steering',
  'Stream',
  'Superposition',
  'Text',
  'Texts',
  'Tokenizer',
  'Topics',
  'Toy',
  'Transformer',
]


@dataclasses.dataclass(frozen=True)
class Config:
  """One run: all stages, all models, all dictionaries.

  Each entry of `models` and `dictionaries` is complete: the shared settings
  (`lm`, `sae`) with the entry's own changes. The key `A1` is the dictionary
  that the paper calls A/1: dictionary 1 of model A.
  """

  text: Text
  tokenizer: Tokenizer
  models: Mapping[str, Transformer]
  stream: Stream
  dictionaries: Mapping[str, Dictionary]
  evaluation: Evaluation
  features: Features
  checkpoint: Checkpoint
  mesh: Mesh
  runtime: Runtime
  analysis: Analysis = Analysis()
  site: Site = Site()
  toy: Toy = Toy()
