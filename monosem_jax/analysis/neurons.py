"""Features against neurons: what sets the one apart from the other.

Each measure is one of a set of features and of nothing else, so that neurons,
controls and dictionaries are measured alike: the neurons of an MLP are the
features of the identity.
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

# Decades of density that a matched control may be away.
_APART = 0.1


def make_powers(activations: Callable) -> Callable:
  """Compiles `powers(sums, args, batch) -> sums`, see `moments.adding`: of
  f, f^2, f^3, f^4, of tokens on which f is not 0, and of all tokens.

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

  The kurtosis is the fourth central moment of the activations over the squared
  second: 3 for a normal distribution, the larger the rarer and stronger a
  feature fires, and so for the most part a matter of density; see `matched`.

  Returns:
    kurtosis_F, NaN where it never varies; density_F, the share of tokens on
    which it fires.
  """
  powers_4F, fired_F, tokens = collect(powers, args, batches)
  m1, m2, m3, m4 = powers_4F / tokens
  variance = m2 - m1**2
  fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
  variance[variance <= 1e-6 * m2] = np.nan
  return fourth / variance**2, fired_F / tokens


def matched(density_F: np.ndarray, control_C: np.ndarray) -> np.ndarray:
  """The control that fires about as often as each feature: index_F.

  The nearest by log density. -1 where the nearest is further than a tenth of a
  decade (our choice: the width of the census' bins), and for what never fires.

  Args:
    density_F: of the features.
    control_C: the densities of the controls.
  """
  with np.errstate(divide='ignore'):
    log_F, log_C = np.log10(density_F), np.log10(control_C)
  (fires,) = np.nonzero(np.isfinite(log_C))
  index_F = np.full(log_F.size, -1)
  if not fires.size:
    return index_F
  order = fires[np.argsort(log_C[fires], kind='stable')]
  # The nearest is the first that is not below, or the one before.
  above_F = np.searchsorted(log_C[order], log_F)
  sides_2F = order[np.clip([above_F - 1, above_F], 0, order.size - 1)]
  away_2F = np.abs(log_C[sides_2F] - log_F)
  nearest_F = away_2F.argmin(0)
  at = np.arange(log_F.size)
  near_F = away_2F[nearest_F, at] <= _APART
  index_F[near_F] = sides_2F[nearest_F, at][near_F]
  return index_F


def rank_correlation(x_N: np.ndarray, y_N: np.ndarray) -> float | None:
  """Spearman's, of pairs that are both finite; None where one is constant."""
  there = np.isfinite(x_N) & np.isfinite(y_N)
  if not there.any() or not np.ptp(x_N[there]) or not np.ptp(y_N[there]):
    return None
  return float(np.corrcoef(_rank(x_N[there]), _rank(y_N[there]))[0, 1])


def _rank(x_N: np.ndarray) -> np.ndarray:
  """Ranks; equal numbers share the mean of theirs."""
  _, inverse, count = np.unique(x_N, return_inverse=True, return_counts=True)
  last = np.cumsum(count)
  return (last - (count - 1) / 2)[inverse]


def coefficients_of(W_dec_FA: np.ndarray, share: float = 0.9) -> np.ndarray:
  """How many neurons hold so much of a decoder row's squared norm: count_F."""
  squares_FA = np.sort(np.square(np.asarray(W_dec_FA, np.float64)), 1)[:, ::-1]
  held_FA = np.cumsum(squares_FA, 1)
  return (held_FA < share * held_FA[:, -1:]).sum(1) + (held_FA[:, -1] > 0)


def most_correlated(
  found: Moments, reported: Moments, count: int
) -> BestNeurons:
  """The neurons whose activations correlate most with those of each feature.

  The best of many neurons are best by luck as well: what they are found on is
  not what is said of them.

  Args:
    found: of the features and the neurons, on the half that is searched.
    reported: of the other half.
    count: k, how many, at most all.

  Returns:
    Them, falling where they were found. The correlation is 0 of what never
    varies, the cosine of what never fires.
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
  """Whether a feature is one of a single token, as the paper tells: bool [F].

  In all of its top examples, the token with the largest activation is the same
  one. A feature without examples is none.
  """
  there_FE, token_FE = _top(table)
  first_F1 = token_FE[:, :1]
  same_F = ((token_FE == first_F1) | ~there_FE).all(1)
  return same_F & there_FE[:, 0]


def single_document(table: FeatureTable, document_FE: np.ndarray) -> np.ndarray:
  """Whether all top examples of a feature are of one document: bool [F].

  Such a feature may know that text and nothing else; correlations with it say
  little. A feature without examples is none.

  Args:
    table: the feature table.
    document_FE: the document of each of its top examples.
  """
  top = slice(0, table.meta['groups'][0]['count'])
  there_FE = table.example_stop_FE[:, top] > 0
  same_FE = document_FE == document_FE[:, :1]
  return (same_FE | ~there_FE).all(1) & there_FE[:, 0]


def diversity(table: FeatureTable) -> np.ndarray:
  """How many different tokens lead a feature's top examples: count_F."""
  there_FE, token_FE = _top(table)
  found = [
    np.unique(token_E[there_E]).size
    for token_E, there_E in zip(token_FE, there_FE, strict=True)
  ]
  return np.array(found)


def _top(table: FeatureTable) -> tuple[np.ndarray, np.ndarray]:
  """there_FE and the token with the largest activation, for top examples."""
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
