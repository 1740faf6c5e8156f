"""Settings of the measurements on finished dictionaries."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """The evaluation of a finished dictionary on held-out documents."""

  # Maximum number of contexts to read; all positions of each are used.
  contexts: int = 512
  # Contexts per device call.
  batch_size: int = 16


@dataclasses.dataclass(frozen=True)
class Features:
  """The feature table: the tokens it reads and the examples it keeps."""

  # Documents that the examples come from: train | val.
  split: str = 'train'
  # Maximum number of contexts to read; all positions of each are used.
  contexts: int = 4_096
  # Contexts per device call.
  batch_size: int = 32
  # Share of the contexts that a first pass reads, to estimate densities.
  sample_fraction: float = 0.0625
  # Random activations kept per feature for its histogram and intervals.
  activations: int = 1_000
  # Examples with the largest activations that are kept.
  top: int = 20
  # Examples kept from each of the 11 intervals of activation.
  per_interval: int = 5
  # Examples kept on which the feature is silent.
  bottom: int = 20
  # Tokens of an example before its central token.
  before: int = 8
  # Tokens of an example after its central token.
  after: int = 8
  # Seed of the random choices of examples.
  seed: int = 0
  # Minimum number of firings of a live feature (see `features.census`). With
  # fewer, one cannot tell what a feature means.
  least_firings: int = 10
  # Distance of two modes of density, in standard deviations, above which the
  # features of the lower mode are not live.
  modes_apart: float = 4.0


@dataclasses.dataclass(frozen=True)
class Texts:
  """Example texts with the active features of each token."""

  # Contexts of held-out documents, taken from the corpus's subsets in turn.
  documents: int = 25
  # Active features kept per token, the most active ones. Tokens with more are
  # counted and reported.
  active: int = 32


@dataclasses.dataclass(frozen=True)
class Proxies:
  """Proxies (paper, feature deep dives) and subsets as labels of tokens."""

  # Probability of a character outside the alphabet or script.
  floor: float = 1e-10
  # Whether a proxy for a script ignores the space before a word (our choice).
  # The paper's proxies do not ignore it.
  overlook_space: bool = False
  # Contexts that unigram and script frequencies are estimated from.
  contexts: int = 4_096


@dataclasses.dataclass(frozen=True)
class Splitting:
  """Feature splitting: a feature's children in a larger dictionary."""

  # Masked cosine similarity above which two features are joined (the paper:
  # about 0.4).
  threshold: float = 0.4
  # Minimum density of a child (our filter). Fewer than 5% of the live features
  # of the paper's A/1 are rarer.
  floor: float = 5e-5
  # Minimum share of a child's activation where the parent fires, and on the
  # parent's label (our filter).
  purity: float = 0.5
  # Maximum number of null starts: features of about the parent's density whose
  # children are counted for comparison.
  nulls: int = 50


@dataclasses.dataclass(frozen=True)
class Steering:
  """Dose-response of pinned features."""

  # Values that a feature is pinned to, in multiples of its largest activation.
  doses: tuple[float, ...] = (-10.0, -1.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
  # Samples per dose; the controls share as many.
  samples: int = 64
  # Tokens per sample.
  tokens: int = 32
  # Maximum number of steered features, which are the best of each proxy.
  features: int = 6
  # Random live features that serve as controls of each steered feature.
  controls: int = 4
  # Contexts at whose positions odds are measured.
  contexts: int = 16


@dataclasses.dataclass(frozen=True)
class Automata:
  """Features that work together as finite-state machines."""

  # Softmax temperature for predicting the next feature, in standard deviations
  # of the logit weights.
  temperature: float = 0.5
  # Predicted edges kept per feature.
  edges: int = 16
  # Minimum weight of an edge: the probability that the target fires next, minus
  # its base rate.
  threshold: float = 0.1
  # Permutations of the rows of logit weights, which give the null distribution.
  # With fewer than 1 / q permutations, the only machine of a kind can never be
  # significant.
  permutations: int = 20
  # False discovery rate up to which machines are kept.
  q: float = 0.05
  # Machines listed per kind.
  machines: int = 10
  # Maximum number of held-out contexts in which pairs of tokens are counted.
  held_out: int = 2_048
  # Contexts on which each effect of pinning is measured.
  contexts: int = 64
  # Value that features are pinned to for effects and walks, in multiples of
  # their largest activation. At 1, most walks leave their machine.
  strength: float = 2.0
  # Tokens sampled in each walk through a machine.
  walk: int = 24
  # Walks through each machine.
  walks: int = 8


@dataclasses.dataclass(frozen=True)
class Analysis:
  """The analyses of finished dictionaries, see `stages.analysis`."""

  # Dictionary that most analyses describe; empty: the first of the config.
  main: str = ''
  # Dictionary of another model that `main` is compared with; empty: the same
  # run on the next trained model.
  match: str = ''
  # Controls on the main dictionary's model: neurons, random, pca, ica.
  # `neurons` adds the neurons of the other models.
  controls: tuple[str, ...] = ('neurons', 'random', 'pca', 'ica')
  # Activations to which the controls' directions and thresholds are fitted.
  control_rows: int = 65_536
  # Iterations of FastICA; more change little and cost minutes.
  ica_passes: int = 50
  # Documents that statistics are computed on: train | val.
  split: str = 'train'
  # Maximum number of contexts on which statistics are computed.
  contexts: int = 4_096
  # Contexts per device call.
  batch_size: int = 32
  # Maximum bytes of feature-by-feature matrices on a device.
  block_bytes: float = 1e9
  # Seed of samples, controls and permutations.
  seed: int = 0
  # Example texts.
  texts: Texts = Texts()
  # Proxies of features.
  proxies: Proxies = Proxies()
  # Feature splitting.
  splitting: Splitting = Splitting()
  # Steering with pinned features.
  steering: Steering = Steering()
  # Finite-state automata.
  automata: Automata = Automata()
