"""Settings of what is measured of finished dictionaries."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What is measured of a finished dictionary, on held-out documents."""

  # Contexts at most; all positions of each are used.
  contexts: int = 512
  # Contexts of one device call.
  batch_size: int = 16


@dataclasses.dataclass(frozen=True)
class Features:
  """The feature table: how many tokens, and which examples of them."""

  # Documents the examples come from: train | val.
  split: str = 'train'
  # Contexts read, at most; all positions of each are used.
  contexts: int = 4_096
  # Contexts of one device call.
  batch_size: int = 32
  # Share of the contexts that the pass before it reads, to learn densities.
  sample_fraction: float = 0.0625
  # Random activations of each feature for its histogram and intervals.
  activations: int = 1_000
  # Examples kept: the top, each of the 11 intervals, and silent ones.
  top: int = 20
  per_interval: int = 5
  bottom: int = 20
  # Tokens of an example before and after its own.
  before: int = 8
  after: int = 8
  seed: int = 0
  # Which features are live, see `features.census`: those of so many firings,
  # since fewer say nothing of what a feature means,
  least_firings: int = 10
  # and not of the lower of two modes that lie apart by more standard deviations
  # than this.
  modes_apart: float = 4.0


@dataclasses.dataclass(frozen=True)
class Texts:
  """Example texts with all that is active on each token."""

  # Contexts of held-out documents, of all subsets of the corpus in turn.
  documents: int = 25
  # The most active features of a token that are kept; tokens with more are
  # counted and reported.
  active: int = 32


@dataclasses.dataclass(frozen=True)
class Proxies:
  """Proxies (paper, feature deep dives) and subsets as labels of tokens."""

  # Probability of a character that does not belong to an alphabet or script.
  floor: float = 1e-10
  # Our choice: whether a space in front of a word is overlooked when its script
  # is judged. The paper's proxies do not.
  overlook_space: bool = False
  # Contexts that unigram and script frequencies are estimated from.
  contexts: int = 4_096


@dataclasses.dataclass(frozen=True)
class Splitting:
  """Feature splitting: which features of a larger dictionary one leads to."""

  # Masked cosine similarity above which two features are joined (the paper:
  # about 0.4).
  threshold: float = 0.4
  # Our filters of children: the least density (fewer than 5% of the live
  # features of the paper's A/1 lie below), and the least share of a child's
  # activation that is where the parent fires, and on the parent's label.
  floor: float = 5e-5
  purity: float = 0.5
  # Features of about a parent's density whose children are counted beside its,
  # at most.
  nulls: int = 50


@dataclasses.dataclass(frozen=True)
class Steering:
  """Dose-response of pinned features."""

  # Multiples of a feature's largest activation it is pinned to.
  doses: tuple[float, ...] = (-10.0, -1.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
  # Samples of each dose, and their tokens; controls share as many.
  samples: int = 64
  tokens: int = 32
  # Features steered: the best of each proxy, at most; random live features
  # beside each; contexts at whose positions odds are taken.
  features: int = 6
  controls: int = 4
  contexts: int = 16


@dataclasses.dataclass(frozen=True)
class Automata:
  """Features that work together as finite-state machines."""

  # Softmax temperature for predicting the next feature, in standard deviations
  # of the logit weights.
  temperature: float = 0.5
  # Predicted edges that are kept of each feature, and how large they have to be
  # (probability that the target fires next, above what it does anyway).
  edges: int = 16
  threshold: float = 0.1
  # Permutations of the rows of logit weights that say what chance makes, and
  # the false discovery rate up to which machines are kept. Fewer than 1 / q
  # permutations can keep no machine that is alone of its kind.
  permutations: int = 20
  q: float = 0.05
  # Machines of each kind that are listed; held-out contexts in which pairs of
  # tokens are counted, at most, and those used for each effect of pinning.
  machines: int = 10
  held_out: int = 2_048
  contexts: int = 64
  # What a feature is pinned to where effects are measured and machines walked,
  # in maxima: at 1, most walks stray.
  strength: float = 2.0
  # Tokens of a text that walks a machine, and how many texts there are.
  walk: int = 24
  walks: int = 8


@dataclasses.dataclass(frozen=True)
class Analysis:
  """What is computed of finished dictionaries, see `stages.analysis`."""

  # The dictionary that most is about, and the one of another model that it is
  # compared with. Empty: the first one, and that of the same run on the next
  # trained model.
  main: str = ''
  match: str = ''
  # Controls on the main dictionary's model: neurons, random, pca, ica. The
  # neurons of other models come with the first.
  controls: tuple[str, ...] = ('neurons', 'random', 'pca', 'ica')
  # Activations that directions and thresholds of the controls are fitted to.
  control_rows: int = 65_536
  # Iterations of FastICA: more than these change little and cost minutes.
  ica_passes: int = 50
  # Tokens used for statistics: documents of train | val, contexts at most, and
  # those of one device call.
  split: str = 'train'
  contexts: int = 4_096
  batch_size: int = 32
  # Bytes that matrices of features by features may take on a device.
  block_bytes: float = 1e9
  seed: int = 0
  texts: Texts = Texts()
  proxies: Proxies = Proxies()
  splitting: Splitting = Splitting()
  steering: Steering = Steering()
  automata: Automata = Automata()
