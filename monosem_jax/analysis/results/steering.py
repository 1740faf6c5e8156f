"""The effects of pinned features, beside baselines (steering)."""

import dataclasses

from monosem_jax.analysis.results.numbers import Inline, Interval, Numbers

# A number, or one number for each dose; None for unknown numbers.
Curve = list[float | None] | float | None


@dataclasses.dataclass(frozen=True)
class OverFeatures:
  """The standard error of controls over features.

  Attributes:
    se_features: standard error of the mean over control features.
  """

  se_features: Curve


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean with its standard error.

  Attributes:
    mean: the mean.
    se: its standard error.
    n: number of units that the mean is over.
    unit: what these units are.
    controls: standard error over features; None for arms other than controls.
  """

  mean: Curve
  se: Curve
  n: int
  unit: str
  controls: Inline[OverFeatures | None]


@dataclasses.dataclass(frozen=True)
class Reading:
  """A mean and its standard error, by dose.

  Attributes:
    mean: the mean at each dose.
    se: its standard error at each dose.
  """

  mean: Curve
  se: Curve


@dataclasses.dataclass(frozen=True)
class EqualKl:
  """A baseline at doses that cost as much KL as the feature's doses.

  Attributes:
    share: share of sampled tokens with the proxy on.
    loss: loss of the sampled texts, nats per token.
  """

  share: Reading
  loss: Reading


@dataclasses.dataclass(frozen=True)
class Share:
  """A mean at one dose.

  Attributes:
    mean: the mean; None if it is unknown.
    interval: its 95% interval over samples.
  """

  mean: float | None
  interval: tuple[float | None, float | None]


@dataclasses.dataclass(frozen=True)
class AtDose:
  """All arms at one dose, see `doses.at_dose`.

  Attributes:
    kl: KL divergence that the feature costs, nats.
    share: share of sampled tokens with the proxy on, by arm.
    loss: loss of the sampled texts in nats per token, by arm.
    share_at_equal_kl: the share at the feature's KL, by baseline.
    loss_at_equal_kl: the loss at the feature's KL, by baseline.
  """

  kl: float
  share: dict[str, Share]
  loss: dict[str, Share]
  share_at_equal_kl: dict[str, Share]
  loss_at_equal_kl: dict[str, Share]


@dataclasses.dataclass(frozen=True)
class SteeredFeature:
  """The feature of a proxy at all doses, see `stages.analysis.doses`.

  Attributes:
    feature: name of the feature.
    doses: values that it is pinned to, in multiples of its maximum.
    controls: indices of the random control features.
    top_tokens: the tokens whose log-odds are measured.
    value: values that each arm is pinned to.
    log_odds: log-odds that the next token is a top token, by arm.
    kl: KL divergence of the next token's distribution, nats, by arm.
    norm: L2 norm of the change of the activations, by arm.
    share: share of sampled tokens with a proxy on, by proxy and arm.
    loss: loss of the sampled texts in nats per token, by arm.
    neuron: name of the best neuron; None if there is none.
    not_here: why a baseline is missing, by baseline.
    equal_kl: baselines at the feature's KL.
    at_maximum: all arms at dose 1; None if 1 is not among the doses.
  """

  feature: str
  doses: list[float]
  controls: list[int]
  top_tokens: list[str]
  value: dict[str, list[float]]
  log_odds: dict[str, Estimate]
  kl: dict[str, Estimate]
  norm: dict[str, Estimate]
  share: dict[str, dict[str, Estimate]]
  loss: dict[str, Estimate]
  neuron: str | None
  not_here: dict[str, str]
  equal_kl: dict[str, EqualKl]
  at_maximum: AtDose | None


@dataclasses.dataclass(frozen=True)
class Lead:
  """How many features steer better than a baseline.

  Attributes:
    features: number of features compared.
    ahead: features clearly ahead of the baseline.
    behind: features clearly behind the baseline.
    mean_lead: mean difference in the share of the proxy's tokens, at equal KL.
    interval: interval of the mean difference.
    unit: what the interval is over.
  """

  features: int
  ahead: int
  behind: int
  mean_lead: float | None
  interval: Interval
  unit: str


@dataclasses.dataclass(frozen=True)
class Steering(Numbers):
  """The results of the analysis steering.

  Attributes:
    features: the steered feature of each proxy.
    prompt: the text that is continued.
    samples: texts sampled for each arm and dose.
    tokens: tokens sampled for each text.
    contexts: contexts over whose positions effects are averaged.
    ahead: how many features beat each baseline.
    notes: what the keys mean.
  """

  features: dict[str, SteeredFeature]
  prompt: str
  samples: int
  tokens: int
  contexts: int
  ahead: dict[str, Lead]
  notes: dict[str, str]
