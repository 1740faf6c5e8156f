"""What features do as they are pinned, beside baselines (steering)."""

import dataclasses

from monosem_jax.analysis.results.numbers import Inline, Interval, Numbers

# A number, or one for each dose; None where it is not known.
Curve = list[float | None] | float | None


@dataclasses.dataclass(frozen=True)
class OverFeatures:
  """The standard error of controls over features."""

  se_features: Curve


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean, its standard error, and how many units it is over.

  Attributes:
    controls: None of all other arms.
  """

  mean: Curve
  se: Curve
  n: int
  unit: str
  controls: Inline[OverFeatures | None]


@dataclasses.dataclass(frozen=True)
class Reading:
  """A mean and its standard error, by dose."""

  mean: Curve
  se: Curve


@dataclasses.dataclass(frozen=True)
class EqualKl:
  """A baseline read where it costs the KL of the feature, by dose."""

  share: Reading
  loss: Reading


@dataclasses.dataclass(frozen=True)
class Share:
  """A mean at one dose and its interval over samples; None: not known."""

  mean: float | None
  interval: tuple[float | None, float | None]


@dataclasses.dataclass(frozen=True)
class AtDose:
  """All arms at one dose, see `doses.at_dose`.

  Attributes:
    kl: of the feature.
    share, loss: by arm.
    share_at_equal_kl, loss_at_equal_kl: by baseline, at the feature's KL.
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
    feature: its name.
    doses: in maxima.
    controls: numbers of random features.
    top_tokens: whose log-odds are looked at.
    value: by arm, what it is held at.
    log_odds, kl, norm, loss: by arm.
    share: of sampled tokens, by proxy and arm.
    neuron: the name of the best neuron; None where there is none.
    not_here: by baseline, why it is not there.
    equal_kl: by baseline.
    at_maximum: None where dose 1 is not among the doses.
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
  """Of so many features how many are ahead of a baseline, and behind it.

  Attributes:
    mean_lead: in the share of the proxy's tokens, at equal KL.
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
  """What the analysis steering found.

  Attributes:
    features: by proxy.
    prompt: what is continued, `samples` times by so many `tokens`.
    contexts: at whose positions the next token is looked at.
    ahead: by baseline.
    notes: what the keys mean.
  """

  features: dict[str, SteeredFeature]
  prompt: str
  samples: int
  tokens: int
  contexts: int
  ahead: dict[str, Lead]
  notes: dict[str, str]
