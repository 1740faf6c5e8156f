"""Settings of the toy models, which show why dictionaries are needed."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Superposition:
  """The toy model of superposition; its training is our choice."""

  # Features of a sample.
  features: int = 20
  # Hidden dimensions that the features share.
  dimensions: int = 5
  # Ratio of a feature's importance to that of the feature before it.
  importance: float = 0.8
  # Shares of samples in which a feature is 0; each share trains one model.
  sparsities: tuple[float, ...] = (0.0, 0.5, 0.7, 0.9, 0.95, 0.97, 0.99)
  # Training steps.
  steps: int = 4_000
  # Samples per step.
  batch_size: int = 512
  # Learning rate.
  lr: float = 1e-2


@dataclasses.dataclass(frozen=True)
class BinaryNeuron:
  """One binary neuron that has to tell mutually exclusive features apart."""

  # Features, one of which is active in each sample.
  features: int = 4
  # Random initialisations from which the input weights are learned as well.
  starts: int = 64
  # Training steps.
  steps: int = 1_000
  # Learning rate.
  lr: float = 0.3


@dataclasses.dataclass(frozen=True)
class Penalty:
  """A small network with a penalty on its activations."""

  # Input features.
  features: int = 16
  # Hidden neurons, at most `features`.
  neurons: int = 4
  # Weights of the penalty; each weight trains one network.
  penalties: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
  # Random initialisations for each penalty; the one with the lowest final loss
  # is reported.
  starts: int = 8
  # Training steps.
  steps: int = 3_000
  # Learning rate.
  lr: float = 0.02


@dataclasses.dataclass(frozen=True)
class Topics:
  """A transformer on a language of planted features, see `analysis.topics`."""

  # K: topics of the language.
  topics: int = 16
  # M: words of the language.
  words: int = 16
  # Share of the words that are drawn uniformly from all words.
  noise: float = 0.1
  # T: tokens per context.
  context: int = 16
  # Width of the residual stream; the transformer has one head.
  d_model: int = 32
  # Neurons of the MLP.
  d_mlp: int = 32
  # Values of `Transformer.activation_penalty`; each trains one transformer. The
  # first must be 0.
  penalties: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3)
  # Training steps of each transformer.
  steps: int = 1_500
  # Contexts per step of each transformer.
  batch_size: int = 128
  # Learning rate of each transformer.
  lr: float = 3e-3
  # F: features of each dictionary of the transformer without a penalty.
  features: int = 512
  # L1 coefficients; each trains one dictionary. As many as `penalties`.
  l1s: tuple[float, ...] = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1)
  # Learning rate of each dictionary.
  dictionary_lr: float = 1e-3
  # Contexts per batch of each dictionary.
  dictionary_contexts: int = 32
  # Chunks that train each dictionary, 64 batches each.
  chunks: int = 64
  # Contexts on which every model is measured. The penalty and the L1
  # coefficient are chosen on as many others: the purest models, relative to
  # chance, among those that keep enough of what was learned.
  eval_contexts: int = 2_048
  # Share of what the transformer without a penalty has learned that is enough.
  kept: float = 0.9
  # Number of seeds for the whole comparison; the toy's own is the first.
  seeds: int = 3


@dataclasses.dataclass(frozen=True)
class Planted:
  """Samples made of known directions, and the methods that recover them."""

  # Dimensions of a sample.
  width: int = 32
  # Planted directions.
  directions: int = 64
  # Mean number of directions in a sample, with weights from U(0.5, 1.5).
  active: float = 2.0
  # Training samples, a multiple of `batch_size`.
  samples: int = 8_192
  # Held-out samples, on which the penalties are chosen.
  held_out: int = 2_048
  # Atoms of every dictionary.
  features: int = 96
  # Samples per batch.
  batch_size: int = 256
  # scikit-learn's L1 penalty.
  alpha: float = 0.2
  # Passes over all samples of scikit-learn's full-batch learner.
  classic_passes: int = 5
  # Passes over all samples of scikit-learn's online learner.
  online_passes: int = 1
  # L1 coefficient of the autoencoder.
  l1: float = 0.015
  # Learning rate of the autoencoder.
  lr: float = 3e-3
  # Passes over all samples of the autoencoder.
  passes: int = 128
  # Multiples of `alpha` and of `l1` that the search tries.
  search: tuple[float, ...] = (0.3, 1.0, 3.0)


@dataclasses.dataclass(frozen=True)
class Toy:
  """The stage `toy`, which needs no other stage."""

  # The toy model of superposition.
  superposition: Superposition = Superposition()
  # The binary neuron.
  binary_neuron: BinaryNeuron = BinaryNeuron()
  # The network with an activation penalty.
  penalty: Penalty = Penalty()
  # The transformer on a language of topics.
  topics: Topics = Topics()
  # Dictionary learning on planted directions.
  planted: Planted = Planted()
  # Seed of all parts.
  seed: int = 0
