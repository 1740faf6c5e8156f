"""What the paper published of A/1: the figures that stand beside a run's.

4,096 features from 8 billion activations of a transformer trained on 100
billion tokens. Some were counted in its published feature data.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DeepDive:
  """A feature that the paper looks at closely.

  Attributes:
    title: what it is about.
    feature: its name there.
    r: Pearson's correlation with its proxy.
    density: share of tokens on which it fires.
    twin: correlation with its nearest feature of the other model.
  """

  title: str
  feature: str
  r: float
  density: float
  twin: float


DEEP_DIVES = {
  'arabic': DeepDive('Arabic', 'A/1/3450', 0.74, 5.81e-4, 0.91),
  'dna': DeepDive('DNA', 'A/1/2937', 0.80, 8.46e-4, 0.92),
  'base64': DeepDive('base64', 'A/1/2357', 0.38, 2.34e-3, 0.85),
  'hebrew': DeepDive('Hebrew', 'A/1/416', 0.55, 3.63e-4, 0.92),
}

# Of A/1: the share of the loss that its reconstructions recover, and active
# features of a token.
LOSS_RECOVERED = 0.79
L0 = 4.9
# Of all features, the shares of those that are dead, of ultralow density, and
# live.
DEAD = 0.041
ULTRALOW = 0.071
LIVE = 0.888
# Of the live features, how many fire on more than 1% of tokens, the median
# density, and the share of those that fire on one token alone. Counted in the
# published data.
ABOVE_1_PERCENT = 4
MEDIAN_DENSITY = 8.1e-4
SINGLE_TOKEN = 0.57
# Features that are about base64, by dictionary.
BASE64_FEATURES = {'A/0': 1, 'A/1': 3}
# The features of the largest dictionary, and the loss that it recovers.
LARGEST = 131_072
LARGEST_LOSS_RECOVERED = 0.945

# Medians, of features and of neurons, of the correlation with the nearest one
# of the other model.
UNIVERSALITY = {'features': 0.72, 'neurons': 0.46}

# Median scores, of 14, of the intervals that a person scored blind: 412 of
# them, of 162 features and neurons.
RUBRIC = {'features': 12, 'neurons': 0}

# Below this density a feature counts as one of ultralow density; from so many
# sampled tokens on (our choice) that can be told from 0.
ULTRALOW_DENSITY = 1e-6
ULTRALOW_TOKENS = 10_000_000
