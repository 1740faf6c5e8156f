"""The paper's published figures, mostly of A/1, which runs are compared with.

A/1 has 4,096 features, learned from 8 billion activations of a transformer that
was trained on 100 billion tokens. Some figures were counted in the published
feature data.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DeepDive:
  """A feature that the paper examines in detail.

  Attributes:
    title: its topic.
    feature: its name in the paper.
    r: Pearson correlation with its proxy.
    density: share of tokens on which it fires.
    twin: correlation with its nearest feature in the other model.
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

# Loss recovered by A/1.
LOSS_RECOVERED = 0.79
# Mean number of active features of A/1 per token.
L0 = 4.9
# Share of A/1's features that are dead.
DEAD = 0.041
# Share of A/1's features with an ultralow density.
ULTRALOW = 0.071
# Share of A/1's features that are live.
LIVE = 0.888
# Number of live features of A/1 with a density above 1% (counted in the data).
ABOVE_1_PERCENT = 4
# Median density of A/1's live features (counted in the data).
MEDIAN_DENSITY = 8.1e-4
# Share of A/1's live features that are single-token features (counted in the
# data).
SINGLE_TOKEN = 0.57
# Number of base64 features by dictionary.
BASE64_FEATURES = {'A/0': 1, 'A/1': 3}
# Number of features of the largest dictionary.
LARGEST = 131_072
# Loss recovered by the largest dictionary.
LARGEST_LOSS_RECOVERED = 0.945

# Median correlation with the nearest feature or neuron of the other model.
UNIVERSALITY = {'features': 0.72, 'neurons': 0.46}

# Median rubric score, of 14 points, of 412 intervals of 162 features and
# neurons that a person scored blind.
RUBRIC = {'features': 12, 'neurons': 0}

# Features below this density have an ultralow density.
ULTRALOW_DENSITY = 1e-6
# The number of sampled tokens needed to measure such densities (our choice).
ULTRALOW_TOKENS = 10_000_000
