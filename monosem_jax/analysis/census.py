"""How often features fire: the density histogram and its two modes.

As the paper (its appendix on feature density): density is the share of tokens
on which a feature is not 0; its logarithms lie in two modes, the ultralow one
of features that mean little, and that of all others. Where the modes overlap,
the encoder bias and the product of encoder and decoder row tell them apart.
"""

import dataclasses
from typing import Any

import numpy as np

from monosem_jax.dictionary.evaluate import census as counts
from monosem_jax.dictionary.sae import SAE

# Edges of the histogram of log10 density: tenths, as fine as the paper's.
EDGES = np.round(np.arange(-90, 1) / 10, 1)


@dataclasses.dataclass(frozen=True)
class Modes:
  """Two modes of log10 densities.

  Attributes:
    border: between them.
    low, high: the mean of each, in log10.
    separation: the distance of the means in standard deviations inside the
      modes (d'): below 2, one mode says as much.
    low_features: how many lie below the border.
  """

  border: float
  low: float
  high: float
  separation: float
  low_features: int


def log_density(fired_F: np.ndarray, tokens: int) -> np.ndarray:
  """log10 of each feature's density; -inf for those that never fired."""
  with np.errstate(divide='ignore'):
    return np.log10(fired_F / tokens)


def modes(log_F: np.ndarray) -> Modes | None:
  """Splits features that fired into two modes (Otsu: least variance inside).

  Our choice: the paper draws the border by eye. None for fewer than two
  different densities.
  """
  x = np.sort(log_F[np.isfinite(log_F)])
  if x.size < 2 or x[0] == x[-1]:
    return None
  n = np.arange(1, x.size)
  low = np.cumsum(x)[:-1] / n
  high = (x.sum() - np.cumsum(x)[:-1]) / (x.size - n)
  between = n * (x.size - n) * (high - low) ** 2
  # Equal densities stay together.
  k = int(np.where(x[1:] > x[:-1], between, -1).argmax())
  parts = x[: k + 1], x[k + 1 :]
  spread = np.sqrt(sum(((p - p.mean()) ** 2).sum() for p in parts) / x.size)
  distance = parts[1].mean() - parts[0].mean()
  return Modes(
    border=float((x[k] + x[k + 1]) / 2),
    low=float(parts[0].mean()),
    high=float(parts[1].mean()),
    separation=float(distance / spread) if spread > 0 else float('inf'),
    low_features=k + 1,
  )


def three_ways(sae: SAE, log_F: np.ndarray) -> dict[str, np.ndarray]:
  """What tells the modes apart where densities do not, per feature.

  Returns:
    `log_density_F`; `encoder_bias_F`; `alignment_F`, the product of each
    feature's encoder and decoder row.
  """
  return {
    'log_density_F': np.asarray(log_F, np.float32),
    'encoder_bias_F': np.asarray(sae.b_enc_F, np.float32),
    'alignment_F': np.einsum(
      'af,fa->f', np.asarray(sae.W_enc_AF), np.asarray(sae.W_dec_FA)
    ),
  }


def census(fired_F: np.ndarray, tokens: int) -> dict[str, Any]:
  """The numbers of a dictionary's density report.

  Returns:
    `tokens` looked at; `dead`, `ultralow`, `live` as `evaluate.census`;
    `above_1_percent`; `l0`, the mean number of active features; `histogram` of
    log10 density in EDGES, those that fired; `modes`.
  """
  log_F = log_density(fired_F, tokens)
  fired = log_F[np.isfinite(log_F)]
  found = modes(log_F)
  return {
    'tokens': tokens,
    **counts(fired_F, tokens),
    'above_1_percent': int((fired_F > 0.01 * tokens).sum()),
    'l0': float(fired_F.sum() / tokens),
    'histogram': np.histogram(np.clip(fired, EDGES[0], EDGES[-1]), EDGES)[
      0
    ].tolist(),
    'modes': found and dataclasses.asdict(found),
  }
