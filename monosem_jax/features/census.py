"""Classifies the features of a dictionary: dead, rare, low mode or live.

Density is the share of tokens on which a feature is not 0 (paper, appendix on
feature density). On a stated sample of tokens a feature is, in this order,

  dead      if it never fired,
  rare      if it fired on fewer tokens than `least`. On a sample of at least
            10 million tokens these are the paper's ultralow-density features
            (below 1e-6). A smaller sample cannot tell whether they are.
  low mode  if the features that fired lie in two modes, and it is in the lower,
  live      otherwise.

The paper draws the border between modes by eye, and looks at density beside the
encoder bias and the product of encoder and decoder row where densities overlap.
Ours is the border that separates best along one line through log density and
the cosine of encoder and decoder row, see `modes`.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from monosem_jax.paper import ULTRALOW_DENSITY, ULTRALOW_TOKENS

# Edges of the histogram of log10 density: tenths, as fine as the paper's.
EDGES = np.round(np.arange(-90, 1) / 10, 1)

CLASSES = ('dead', 'rare', 'low_mode', 'live')
DEAD, RARE, LOW_MODE, LIVE = range(4)

# Steps after which the line that separates the modes has settled.
_LINES = 10


@dataclasses.dataclass(frozen=True)
class Split:
  """Two modes of numbers.

  Attributes:
    border: between them.
    low, high: the mean of each.
    separation: the distance of the means in standard deviations inside the
      modes (d'). A normal distribution, cut in the middle, has 2.6; a uniform
      one 3.5.
    low_count: how many lie below the border.
  """

  border: float
  low: float
  high: float
  separation: float
  low_count: int


def split(x: np.ndarray) -> Split | None:
  """Splits numbers where the variance inside both parts is least (Otsu).

  None for fewer than three different numbers: two have no inside to measure
  their distance by. Those that are not finite are left out.
  """
  x = np.sort(x[np.isfinite(x)])
  if np.unique(x).size < 3:
    return None
  n = np.arange(1, x.size)
  low = np.cumsum(x)[:-1] / n
  high = (x.sum() - np.cumsum(x)[:-1]) / (x.size - n)
  between = n * (x.size - n) * (high - low) ** 2
  # Equal numbers stay together.
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
    low_F: features of the lower one.
    separation: see `Split`.
    weights: of log10 density and of the cosine, both in standard deviations:
      the line along which the modes are told apart.
    low_density, high_density: mean log10 density of each mode.
    low_cosine, high_cosine: mean cosine; None where no cosines are given.
  """

  low_F: np.ndarray
  separation: float
  weights: tuple[float, float]
  low_density: float
  high_density: float
  low_cosine: float | None
  high_cosine: float | None


def modes(log_F: np.ndarray, cosine_F: np.ndarray | None) -> Modes | None:
  """Splits features that fired into two modes, where that works best.

  Features are first split by log density alone. Then Fisher's discriminant of
  the two parts gives a line through log density and cosine, along which they
  are split anew, until the line has settled. Where cosines do not vary (neurons
  and other controls) densities alone decide.

  Args:
    log_F: log10 density; -inf for those that never fired.
    cosine_F: of encoder column and decoder row.

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
  """Fisher's: the line along which two groups differ most beside their spread.

  None where the spread has no inverse.
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
  """The features of a dictionary by what they are on a sample of tokens.

  Attributes:
    class_F: places in CLASSES, uint8.
    tokens: of the sample.
    modes: of all that fired; None where these have fewer than three densities.
      Features are of a low mode only where these are far enough apart.
  """

  class_F: np.ndarray
  tokens: int
  modes: Modes | None

  @property
  def live_F(self) -> np.ndarray:
    return self.class_F == LIVE

  @property
  def tells_ultralow(self) -> bool:
    """Whether the sample is large enough to tell ultralow densities."""
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
    fired_F: on how many tokens each fired.
    tokens: of the sample.
    cosine_F: of encoder column and decoder row; None where it is not known.
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
  """How many features are of each of CLASSES; together, all of them."""
  n = np.bincount(class_F, minlength=len(CLASSES))
  return dict(zip(CLASSES, n.tolist(), strict=True))


def log_density(fired_F: np.ndarray, tokens: int) -> np.ndarray:
  """log10 of each feature's density; -inf for those that never fired."""
  with np.errstate(divide='ignore'):
    return np.log10(fired_F / tokens)


def cosine(W_enc_AF: ArrayLike, W_dec_FA: ArrayLike) -> np.ndarray:
  """The cosine of each encoder column with its decoder row: cosine_F, float32.

  0 where one of them is 0.
  """
  enc_FA, dec_FA = np.asarray(W_enc_AF).T, np.asarray(W_dec_FA)
  norm_F = np.linalg.norm(enc_FA, axis=1) * np.linalg.norm(dec_FA, axis=1)
  product_F = np.einsum('fa,fa->f', enc_FA, dec_FA)
  return (product_F / np.where(norm_F > 0, norm_F, 1)).astype(np.float32)


def why_not_ultralow(tokens: int) -> str:
  """Why a small sample says nothing of ultralow densities."""
  return (
    f'{tokens:,} sampled tokens cannot tell a density below '
    f'{ULTRALOW_DENSITY:g}; {ULTRALOW_TOKENS:,} can'
  )


def numbers(c: Census, fired_F: np.ndarray) -> dict[str, Any]:
  """The census of a dictionary as numbers.

  Returns:
    `tokens` looked at; `features`; the counts of CLASSES; `ultralow`, those of
    `rare` where the sample can tell, otherwise None and `ultralow_reason`;
    `above_1_percent`, of the live; `median_density`, of the live; `l0`, the
    mean number of active features; `histogram` of log10 density in EDGES, of
    those that fired; `modes`.
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
  """The counts in words."""
  return ', '.join(
    f'{n:,} {name.replace("_", " ")}' for name, n in counts(c.class_F).items()
  )
