"""Classifies the features of a dictionary: dead, rare, low mode or live.

Density is the share of tokens on which a feature is not 0 (paper, appendix on
feature density). On a given sample of tokens a feature is, in this order,

  dead      if it never fired;
  rare      if it fired on fewer than `least` tokens. In a sample of at least 10
            million tokens these are the paper's ultralow-density features
            (below 1e-6). A smaller sample cannot tell;
  low mode  if the features that fired form two modes and it is in the lower
  one; live      otherwise.

The paper separates the modes by eye. Where their densities overlap, it also
uses the encoder bias and the product of encoder and decoder rows. We use the
linear combination of log density and the cosine of encoder and decoder row that
separates the modes best, see `modes`.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from monosem_jax.paper import ULTRALOW_DENSITY, ULTRALOW_TOKENS

# Edges of the histogram of log10 density, in tenths as in the paper.
EDGES = np.round(np.arange(-90, 1) / 10, 1)

CLASSES = ('dead', 'rare', 'low_mode', 'live')
DEAD, RARE, LOW_MODE, LIVE = range(4)

# Maximum number of iterations for the line that separates the modes.
_LINES = 10


@dataclasses.dataclass(frozen=True)
class Split:
  """A split of numbers into two modes.

  Attributes:
    border: the number between the modes.
    low: mean of the lower mode.
    high: mean of the upper mode.
    separation: distance of the means in standard deviations within the modes
      (d'). A normal distribution cut in the middle has 2.6, a uniform one 3.5.
    low_count: how many numbers are in the lower mode.
  """

  border: float
  low: float
  high: float
  separation: float
  low_count: int


def split(x: np.ndarray) -> Split | None:
  """Splits numbers so that the variance within both parts is smallest (Otsu).

  Numbers that are not finite are ignored. The result is None for fewer than
  three different numbers, since two have no variance within the parts.
  """
  x = np.sort(x[np.isfinite(x)])
  if np.unique(x).size < 3:
    return None
  n = np.arange(1, x.size)
  low = np.cumsum(x)[:-1] / n
  high = (x.sum() - np.cumsum(x)[:-1]) / (x.size - n)
  between = n * (x.size - n) * (high - low) ** 2
  # Equal numbers must not be split.
  k = int(np.where(x[1:] > x[:-1], between, -1).argmax())
  parts = x[: k + 1], x[k + 1 :]
  spread = np.sqrt(sum(((p - p.mean()) ** 2).sum() for p in parts) / x.size)
  distance = parts[1].mean() - parts[0].mean()
  return Split(
    border=float((x[k] + x[k + 1]) / 2),
    low=float(parts[0].mean()),
    high=float(parts[1].mean()),
    separation=float(distance / spread),
    low_count=k + 1,
  )


@dataclasses.dataclass(frozen=True)
class Modes:
  """The two modes of the features that fired.

  Attributes:
    low_F: whether each feature is in the lower mode.
    separation: distance of the modes, see `Split`.
    weights: weights of log10 density and of the cosine, both standardized, on
      the line that separates the modes.
    low_density: mean log10 density of the lower mode.
    high_density: mean log10 density of the upper mode.
    low_cosine: mean cosine of the lower mode; None if cosines were not used.
    high_cosine: mean cosine of the upper mode; None if cosines were not used.
  """

  low_F: np.ndarray
  separation: float
  weights: tuple[float, float]
  low_density: float
  high_density: float
  low_cosine: float | None
  high_cosine: float | None


def modes(log_F: np.ndarray, cosine_F: np.ndarray | None) -> Modes | None:
  """Splits the features that fired into the two modes that are furthest apart.

  Features are first split by log density alone. Fisher's discriminant of the
  two parts then gives a linear combination of log density and cosine, by which
  they are split again, until the separation no longer improves. If cosines do
  not vary, as for neurons and other controls, only densities are used.

  Args:
    log_F: log10 density; -inf for features that never fired.
    cosine_F: cosine of encoder column and decoder row; None if unknown.

  Returns:
    None for fewer than three different densities.
  """
  fired_F = np.isfinite(log_F)
  found = split(log_F)
  if found is None:
    return None
  columns = [log_F[fired_F]]
  if cosine_F is not None and np.ptp(cosine_F[fired_F]) > 1e-3:
    columns.append(cosine_F[fired_F].astype(np.float64))
  x_nk = np.stack([(x - x.mean()) / x.std() for x in columns], 1)
  weight_k = np.eye(len(columns))[0]
  found = split(x_nk @ weight_k)
  if found is None:
    return None
  low_n = x_nk @ weight_k <= found.border
  for _ in range(_LINES if len(columns) == 2 else 0):
    line_k = _discriminant(x_nk, low_n)
    if line_k is None:
      break
    other = split(x_nk @ line_k)
    if other is None or other.separation <= found.separation:
      break
    weight_k, found, low_n = line_k, other, x_nk @ line_k <= other.border
  low_F = np.zeros(log_F.size, bool)
  low_F[np.flatnonzero(fired_F)[low_n]] = True
  mean = lambda x_F, own: float(x_F[fired_F & own].mean())
  with_cosine = len(columns) == 2
  return Modes(
    low_F=low_F,
    separation=found.separation,
    weights=(float(weight_k[0]), float(weight_k[1]) if with_cosine else 0.0),
    low_density=mean(log_F, low_F),
    high_density=mean(log_F, ~low_F),
    low_cosine=mean(cosine_F, low_F) if with_cosine else None,
    high_cosine=mean(cosine_F, ~low_F) if with_cosine else None,
  )


def _discriminant(x_nk: np.ndarray, low_n: np.ndarray) -> np.ndarray | None:
  """Fisher's linear discriminant of two groups, normalized.

  Returns None if the covariance within the groups cannot be inverted.
  """
  parts = x_nk[low_n], x_nk[~low_n]
  away = [p - p.mean(0) for p in parts]
  inside_kk = sum(a.T @ a for a in away) / len(x_nk)
  if np.linalg.cond(inside_kk) > 1e8:
    return None
  weight_k = np.linalg.solve(inside_kk, parts[1].mean(0) - parts[0].mean(0))
  return weight_k / np.linalg.norm(weight_k)


@dataclasses.dataclass(frozen=True)
class Census:
  """The classes of a dictionary's features on a sample of tokens.

  Attributes:
    class_F: index into CLASSES, uint8.
    tokens: number of tokens of the sample.
    modes: modes of the features that fired; None for fewer than three different
      densities. Features are in class `low_mode` only if the modes are far
      enough apart.
  """

  class_F: np.ndarray
  tokens: int
  modes: Modes | None

  @property
  def live_F(self) -> np.ndarray:
    return self.class_F == LIVE

  @property
  def tells_ultralow(self) -> bool:
    """Whether the sample is large enough for ultralow densities."""
    return self.tokens >= ULTRALOW_TOKENS


def classify(
  fired_F: np.ndarray,
  tokens: int,
  cosine_F: np.ndarray | None,
  least: int = 10,
  apart: float = 4.0,
) -> Census:
  """Returns the class of every feature.

  Args:
    fired_F: number of tokens on which each feature fired.
    tokens: number of tokens of the sample.
    cosine_F: cosine of encoder column and decoder row; None if unknown.
    least: `settings.Features.least_firings`.
    apart: `settings.Features.modes_apart`.
  """
  if tokens >= ULTRALOW_TOKENS:
    least = max(least, int(np.ceil(ULTRALOW_DENSITY * tokens)))
  found = modes(log_density(fired_F, tokens), cosine_F)
  class_F = np.full(fired_F.size, LIVE, np.uint8)
  if found is not None and found.separation > apart:
    class_F[found.low_F] = LOW_MODE
  class_F[fired_F < least] = RARE
  class_F[fired_F == 0] = DEAD
  return Census(class_F, tokens, found)


def counts(class_F: np.ndarray) -> dict[str, int]:
  """The number of features in each of CLASSES."""
  n = np.bincount(class_F, minlength=len(CLASSES))
  return dict(zip(CLASSES, n.tolist(), strict=True))


def log_density(fired_F: np.ndarray, tokens: int) -> np.ndarray:
  """log10 of each feature's density; -inf for features that never fired."""
  with np.errstate(divide='ignore'):
    return np.log10(fired_F / tokens)


def cosine(W_enc_AF: ArrayLike, W_dec_FA: ArrayLike) -> np.ndarray:
  """The cosine of each encoder column with its decoder row: cosine_F, float32.

  It is 0 if one of them is 0.
  """
  enc_FA, dec_FA = np.asarray(W_enc_AF).T, np.asarray(W_dec_FA)
  norm_F = np.linalg.norm(enc_FA, axis=1) * np.linalg.norm(dec_FA, axis=1)
  product_F = np.einsum('fa,fa->f', enc_FA, dec_FA)
  return (product_F / np.where(norm_F > 0, norm_F, 1)).astype(np.float32)


def why_not_ultralow(tokens: int) -> str:
  """Why a sample is too small for ultralow densities."""
  return (
    f'{tokens:,} sampled tokens are too few for densities below '
    f'{ULTRALOW_DENSITY:g}, which need {ULTRALOW_TOKENS:,}'
  )


def numbers(c: Census, fired_F: np.ndarray) -> dict[str, Any]:
  """The census as plain numbers: the fields of `results.density.Census`.

  Args:
    c: the census.
    fired_F: number of tokens on which each feature fired.
  """
  log_F = log_density(fired_F, c.tokens)
  fired = log_F[np.isfinite(log_F)]
  density = fired_F[c.live_F] / c.tokens
  by_class = counts(c.class_F)
  found = None
  if c.modes is not None:
    found = dataclasses.asdict(c.modes)
    found['low_features'] = int(found.pop('low_F').sum())
  return {
    'tokens': c.tokens,
    'features': int(fired_F.size),
    **by_class,
    'ultralow': by_class['rare'] if c.tells_ultralow else None,
    'ultralow_reason': '' if c.tells_ultralow else why_not_ultralow(c.tokens),
    'above_1_percent': int((density > 0.01).sum()),
    'median_density': float(np.median(density)) if density.size else None,
    'l0': float(fired_F.sum() / c.tokens),
    'histogram': np.histogram(np.clip(fired, EDGES[0], EDGES[-1]), EDGES)[
      0
    ].tolist(),
    'modes': found,
  }


def sentence(c: Census) -> str:
  """The counts as text: '5 dead, 0 rare, ...'."""
  return ', '.join(
    f'{n:,} {name.replace("_", " ")}' for name, n in counts(c.class_F).items()
  )
