"""Settings of the toy models: why dictionaries are needed."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Superposition:
  """The toy model of superposition; its training is our choice."""

  features: int = 20
  dimensions: int = 5
  # Of a feature, in importances of the one before it.
  importance: float = 0.8
  # Share of the samples in which a feature is 0; one model for each.
  sparsities: tuple[float, ...] = (0.0, 0.5, 0.7, 0.9, 0.95, 0.97, 0.99)
  steps: int = 4_000
  batch_size: int = 512
  lr: float = 1e-2


@dataclasses.dataclass(frozen=True)
class BinaryNeuron:
  """One binary neuron that has to tell exclusive features apart."""

  features: int = 4
  # Random starts from which the neuron's input weights are learned, too.
  starts: int = 64
  steps: int = 1_000
  lr: float = 0.3


@dataclasses.dataclass(frozen=True)
class Penalty:
  """A small network under a penalty on its activations."""

  features: int = 16
  neurons: int = 4
  penalties: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
  # Random starts at each penalty; the one that ends lowest is reported.
  starts: int = 8
  steps: int = 3_000
  lr: float = 0.02


@dataclasses.dataclass(frozen=True)
class Topics:
  """A transformer on a language of planted features, see `analysis.topics`."""

  topics: int = 16
  words: int = 16
  # Share of the words that are drawn from all.
  noise: float = 0.1
  # T.
  context: int = 16
  # The transformer of one head, and its training, at each value of
  # `Transformer.activation_penalty`. The first must be 0.
  d_model: int = 32
  d_mlp: int = 32
  penalties: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3)
  steps: int = 1_500
  batch_size: int = 128
  lr: float = 3e-3
  # The dictionaries of the transformer without a penalty: F, as many penalties
  # as the transformers have, contexts of a batch, chunks of 64 batches.
  features: int = 512
  l1s: tuple[float, ...] = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1)
  dictionary_lr: float = 1e-3
  dictionary_contexts: int = 32
  chunks: int = 64
  # Contexts that all are measured on, and as many others on which a penalty of
  # each kind is chosen: the purest, above chance, of those that keep this share
  # of what the transformer without a penalty has learned.
  eval_contexts: int = 2_048
  kept: float = 0.9
  # Seeds from which all of that is made, the toy's own the first.
  seeds: int = 3


@dataclasses.dataclass(frozen=True)
class Planted:
  """Samples made of known directions, and those who look for them."""

  width: int = 32
  directions: int = 64
  # Directions of a sample, on average, with weights of U(0.5, 1.5).
  active: float = 2.0
  # A multiple of `batch_size`; and those on which penalties are chosen.
  samples: int = 8_192
  held_out: int = 2_048
  # Atoms of every dictionary.
  features: int = 96
  batch_size: int = 256
  # scikit-learn's penalty, and its passes: over all samples (classic), and by
  # batches (online).
  alpha: float = 0.2
  classic_passes: int = 5
  online_passes: int = 1
  # The autoencoder's.
  l1: float = 0.015
  lr: float = 3e-3
  passes: int = 128
  # Multiples of `alpha` and of `l1` that are tried.
  search: tuple[float, ...] = (0.3, 1.0, 3.0)


@dataclasses.dataclass(frozen=True)
class Toy:
  """Why dictionaries: the stage `toy`, which needs none of the others."""

  superposition: Superposition = Superposition()
  binary_neuron: BinaryNeuron = BinaryNeuron()
  penalty: Penalty = Penalty()
  topics: Topics = Topics()
  planted: Planted = Planted()
  seed: int = 0
