"""Whether features with near decoder rows act alike and lie near on the map.

The paper shows this by examples (feature geometry); these statistics are ours.
All compare directions by cosine, whatever their lengths.
"""

import numpy as np

# Number of rows that are compared with all others at a time.
_BLOCK = 512
# Number of bootstrap resamples.
_DRAWS = 500


def rank_correlation(
  rows_FA: np.ndarray,
  similarity_FF: np.ndarray,
  pairs: int = 1_000_000,
  seed: int = 0,
) -> tuple[float, tuple[float, float]] | None:
  """Spearman's correlation of row cosines with another similarity.

  It is taken over all pairs of different features, or over random ones where
  there are more than `pairs`. Ties share their mean rank.

  Args:
    rows_FA: decoder rows.
    similarity_FF: the other similarity, such as
      `features.moments.correlation`.
    pairs: the largest number of pairs.
    seed: random seed of the pairs and of the bootstrap.

  Returns:
    The correlation and the ends of its 95% interval, or None if one of the two
    similarities is constant. The interval is a bootstrap over features: a pair
    is weighted by how often both of its features are drawn, and ranks stay as
    they are.
  """
  from scipy.stats import rankdata  # comes with scikit-learn

  rng = np.random.default_rng(seed)
  F = len(rows_FA)
  if pairs >= F * (F - 1) // 2:
    i_M, j_M = np.triu_indices(F, 1)
  else:
    i_M, j_M = rng.integers(F, size=(2, pairs))
    i_M, j_M = i_M[i_M != j_M], j_M[i_M != j_M]
  unit_FA = _unit(rows_FA)
  cosine_M = np.concatenate(
    [
      np.einsum('ma,ma->m', unit_FA[i], unit_FA[j])
      for i, j in zip(
        np.array_split(i_M, 1 + pairs // 65_536),
        np.array_split(j_M, 1 + pairs // 65_536),
        strict=True,
      )
    ]
  )
  a_M, b_M = (rankdata(x) for x in (cosine_M, similarity_FF[i_M, j_M]))
  if not (np.ptp(a_M) and np.ptp(b_M)):
    return None
  a_M, b_M = (x / len(x) - 0.5 for x in (a_M, b_M))
  columns_M6 = np.stack([a_M**0, a_M, b_M, a_M**2, b_M**2, a_M * b_M], 1)
  weight_DF = rng.multinomial(F, np.full(F, 1 / F), size=_DRAWS)
  drawn_D = [_pearson((w[i_M] * w[j_M]) @ columns_M6) for w in weight_DF]
  low, high = np.nanpercentile(drawn_D, (2.5, 97.5))
  return _pearson(columns_M6.sum(0)), (float(low), float(high))


def _pearson(sums_6: np.ndarray) -> float:
  n, a, b, aa, bb, ab = sums_6
  scale = np.sqrt((n * aa - a * a) * (n * bb - b * b))
  return float((n * ab - a * b) / scale) if scale > 0 else float('nan')


def overlap(index_Fk: np.ndarray, similarity_FF: np.ndarray) -> np.ndarray:
  """The share of each feature's k nearest that are also its k most similar.

  Args:
    index_Fk: the k features whose rows are nearest to each feature's.
    similarity_FF: the similarity.

  Returns:
    overlap_F; its mean is k / (F - 1) if the two are unrelated.
  """
  F, k = index_Fk.shape
  found_F = np.zeros(F)
  for own in _blocks(F):
    near_nF = np.array(similarity_FF[own], np.float32)
    number_n = np.arange(len(near_nF))
    near_nF[number_n, own] = -np.inf
    among_nF = np.zeros(near_nF.shape, bool)
    most_nk = np.argpartition(-near_nF, k - 1, axis=1)[:, :k]
    np.put_along_axis(among_nF, most_nk, True, 1)
    found_F[own] = among_nF[number_n[:, None], index_Fk[own]].mean(1)
  return found_F


def trustworthiness(
  rows_FA: np.ndarray, position_FD: np.ndarray, k: int = 15
) -> np.ndarray:
  """The trustworthiness of a layout (Venna and Kaski 2001), by feature.

  Args:
    rows_FA: directions, compared by cosine.
    position_FD: their positions in the layout, compared by Euclidean distance.
    k: number of neighbours in the layout, less than F / 2.

  Returns:
    trust_F, whose mean is the layout's trustworthiness. It is 1 if the k
    nearest in the layout are the k nearest by cosine, and about 1/2 for a
    random layout.
  """
  F = len(rows_FA)
  unit_FA = _unit(rows_FA)
  square_F = np.square(position_FD).sum(1)
  trust_F = np.zeros(F)
  for own in _blocks(F):
    cosine_nF = unit_FA[own] @ unit_FA.T
    far_nF = square_F - 2 * position_FD[own] @ position_FD.T
    at_n = np.arange(len(own)), own
    cosine_nF[at_n], far_nF[at_n] = -np.inf, np.inf
    near_nk = np.argpartition(far_nF, k - 1, axis=1)[:, :k]
    too_far_n = np.zeros(len(own))
    for j_n1 in near_nk.T[..., None]:
      nearer_nF = cosine_nF > np.take_along_axis(cosine_nF, j_n1, 1)
      too_far_n += np.maximum(1 + nearer_nF.sum(1) - k, 0)
    trust_F[own] = 1 - 2 * too_far_n / (k * (2 * F - 3 * k - 1))
  return trust_F


def _unit(rows_FA: np.ndarray) -> np.ndarray:
  rows_FA = np.asarray(rows_FA, np.float32)
  norm_F1 = np.linalg.norm(rows_FA, axis=1, keepdims=True)
  return rows_FA / np.where(norm_F1 > 0, norm_F1, 1)


def _blocks(F: int) -> list[np.ndarray]:
  return [np.arange(i, min(i + _BLOCK, F)) for i in range(0, F, _BLOCK)]
