"""Measures that distinguish features from neurons.

Each measure takes any set of features, so that neurons, controls and
dictionaries are measured alike. Neurons are the features of the identity.
"""

from collections.abc import Callable, Iterable

import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis.results.arrays import BestNeurons
from monosem_jax.features.moments import (
  Moments,
  adding,
  collect,
  correlation,
)
from monosem_jax.features.table import FeatureTable

# Largest difference in log10 density between a feature and a matched control.
_APART = 0.1


def make_powers(activations: Callable) -> Callable:
  """Compiles `powers(sums, args, batch) -> sums`, see `moments.adding`.

  It sums f, f^2, f^3, f^4, the tokens on which f is not 0, and all tokens.

  Args:
    activations: `activations(args, batch) -> f_NF`.
  """

  def of(args, batch):
    f_NF = activations(args, batch)
    powers_4F = jnp.stack([(f_NF**k).sum(0) for k in range(1, 5)])
    fired_F = (f_NF > 0).sum(0, dtype=jnp.int32)
    return powers_4F, fired_F, jnp.asarray(len(f_NF), jnp.int32)

  return adding(of)


def kurtosis(
  powers: Callable, args, batches: Iterable
) -> tuple[np.ndarray, np.ndarray]:
  """The kurtosis and the density of every feature over a stream of batches.

  The kurtosis is the fourth central moment of the activations over the square
  of the second, which is 3 for a normal distribution. It grows the more rarely
  and strongly a feature fires, so that it depends mostly on density; `matched`
  gives a control for that.

  Returns:
    kurtosis_F, NaN for constant features, and density_F, the share of tokens on
    which a feature fires.
  """
  powers_4F, fired_F, tokens = collect(powers, args, batches)
  m1, m2, m3, m4 = powers_4F / tokens
  variance = m2 - m1**2
  fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
  variance[variance <= 1e-6 * m2] = np.nan
  return fourth / variance**2, fired_F / tokens


def matched(density_F: np.ndarray, control_C: np.ndarray) -> np.ndarray:
  """The control that fires about as often as each feature: index_F.

  It is the nearest control in log density. The index is -1 if that differs by
  more than a tenth of a decade (our choice: the width of the census' bins), and
  for features that never fire.

  Args:
    density_F: densities of the features.
    control_C: densities of the controls.
  """
  with np.errstate(divide='ignore'):
    log_F, log_C = np.log10(density_F), np.log10(control_C)
  (fires,) = np.nonzero(np.isfinite(log_C))
  index_F = np.full(log_F.size, -1)
  if not fires.size:
    return index_F
  order = fires[np.argsort(log_C[fires], kind='stable')]
  # The nearest control is the first that is not sparser, or the one before it.
  above_F = np.searchsorted(log_C[order], log_F)
  sides_2F = order[np.clip([above_F - 1, above_F], 0, order.size - 1)]
  away_2F = np.abs(log_C[sides_2F] - log_F)
  nearest_F = away_2F.argmin(0)
  at = np.arange(log_F.size)
  near_F = away_2F[nearest_F, at] <= _APART
  index_F[near_F] = sides_2F[nearest_F, at][near_F]
  return index_F


def rank_correlation(x_N: np.ndarray, y_N: np.ndarray) -> float | None:
  """Spearman's correlation over finite pairs; None if one side is constant."""
  there = np.isfinite(x_N) & np.isfinite(y_N)
  if not there.any() or not np.ptp(x_N[there]) or not np.ptp(y_N[there]):
    return None
  return float(np.corrcoef(_rank(x_N[there]), _rank(y_N[there]))[0, 1])


def _rank(x_N: np.ndarray) -> np.ndarray:
  """Ranks; ties share their mean rank."""
  _, inverse, count = np.unique(x_N, return_inverse=True, return_counts=True)
  last = np.cumsum(count)
  return (last - (count - 1) / 2)[inverse]


def coefficients_of(W_dec_FA: np.ndarray, share: float = 0.9) -> np.ndarray:
  """How many neurons hold `share` of a decoder row's squared norm: count_F."""
  squares_FA = np.sort(np.square(np.asarray(W_dec_FA, np.float64)), 1)[:, ::-1]
  held_FA = np.cumsum(squares_FA, 1)
  return (held_FA < share * held_FA[:, -1:]).sum(1) + (held_FA[:, -1] > 0)


def most_correlated(
  found: Moments, reported: Moments, count: int
) -> BestNeurons:
  """The neurons whose activations correlate most with those of each feature.

  The best of many neurons are partly best by luck. So they are chosen on one
  half of the documents, and their correlations are reported on the other.

  Args:
    found: moments of features and neurons on the half that is searched.
    reported: the same on the other half.
    count: number of neurons per feature, at most all.

  Returns:
    The neurons by descending correlation on the half that was searched. The
    correlation is 0 for constant activations, and the cosine is 0 for features
    or neurons that never fire.
  """
  neuron_Fk = np.argsort(-correlation(found), axis=1, kind='stable')[:, :count]
  own = lambda x_FA: np.take_along_axis(x_FA, neuron_Fk, 1)
  m = reported
  norm_Fk = np.sqrt(m.square_X[:, None] * m.square_Y[neuron_Fk])
  norm_Fk[norm_Fk == 0] = np.inf
  return BestNeurons(
    neuron_F3=neuron_Fk.astype(np.int32),
    neuron_r_F3=own(correlation(m)),
    neuron_cosine_F3=(own(m.product_XY) / norm_Fk).astype(np.float32),
  )


def single_token(table: FeatureTable) -> np.ndarray:
  """Whether each feature is a single-token feature, bool [F].

  As in the paper, the token with the largest activation is the same in all of
  its top examples. A feature without examples does not count.
  """
  there_FE, token_FE = _top(table)
  first_F1 = token_FE[:, :1]
  same_F = ((token_FE == first_F1) | ~there_FE).all(1)
  return same_F & there_FE[:, 0]


def single_document(table: FeatureTable, document_FE: np.ndarray) -> np.ndarray:
  """Whether all top examples of a feature are from one document, bool [F].

  Such a feature may have memorised that document, and its correlations mean
  little. A feature without examples does not count.

  Args:
    table: the feature table.
    document_FE: the document of each of its top examples.
  """
  top = slice(0, table.meta['groups'][0]['count'])
  there_FE = table.example_stop_FE[:, top] > 0
  same_FE = document_FE == document_FE[:, :1]
  return (same_FE | ~there_FE).all(1) & there_FE[:, 0]


def diversity(table: FeatureTable) -> np.ndarray:
  """The number of different tokens with the largest activation in a feature's
  top examples: count_F."""
  there_FE, token_FE = _top(table)
  found = [
    np.unique(token_E[there_E]).size
    for token_E, there_E in zip(token_FE, there_FE, strict=True)
  ]
  return np.array(found)


def _top(table: FeatureTable) -> tuple[np.ndarray, np.ndarray]:
  """Which top examples exist, there_FE, and their tokens with the largest
  activation, token_FE."""
  top = slice(0, table.meta['groups'][0]['count'])
  acts_FEW = table.example_acts_FEW[:, top].astype(np.float32)
  w = np.arange(acts_FEW.shape[2])
  inside_FEW = (w >= table.example_start_FE[:, top, None]) & (
    w < table.example_stop_FE[:, top, None]
  )
  at_FE = np.where(inside_FEW, acts_FEW, -1).argmax(2)
  token_FE = np.take_along_axis(
    table.example_tokens_FEW[:, top], at_FE[..., None], 2
  )[..., 0]
  return table.example_stop_FE[:, top] > 0, token_FE
