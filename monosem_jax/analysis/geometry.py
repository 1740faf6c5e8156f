"""Nearest features, maps and clusters (paper, feature geometry).

Decoder rows of one or several dictionaries of the same activations are laid out
in the plane by UMAP and clustered by HDBSCAN, with the paper's parameters. The
nearest neighbours are exact and computed on the device; umap-learn and
scikit-learn do the rest.
"""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.dictionary.sae import unit_rows

# The paper's parameters. `small` is its layout of A/0 and A/1, `large` the one
# with A/2.
MIN_DIST = {'small': 0.05, 'large': 0.01, 'clusters': 0.1}
NEIGHBOURS, CLUSTER_DIMENSIONS, CLUSTER_SIZE = 15, 10, 3


def neighbours(
  rows_FA: np.ndarray,
  k: int,
  others_GA: np.ndarray | None = None,
  block: int = 1_024,
) -> tuple[np.ndarray, np.ndarray]:
  """Each row's k nearest neighbours by cosine: index_Fk, distance_Fk.

  Args:
    rows_FA: directions, of any length.
    k: number of neighbours, at most G.
    others_GA: the rows to search; None for rows_FA themselves. In that case
      each row is its own first neighbour, even before its duplicates.
    block: rows per block, which bounds the memory at block x G numbers.

  Returns:
    The indices of the nearest, nearest first, int32, and 1 - cosine, float32.
  """
  unit = lambda rows: unit_rows(jnp.asarray(rows, jnp.float32))
  unit_FA = unit(rows_FA)
  unit_GA = unit_FA if others_GA is None else unit(others_GA)
  F = len(unit_FA)
  size = min(block, F)
  # The last block starts early enough to have the full size.
  starts = [min(i, F - size) for i in range(0, F, size)]
  index_Fk = np.zeros((F, k), np.int32)
  distance_Fk = np.zeros((F, k), np.float32)
  for start in starts:
    found = _of_block(start, unit_FA, unit_GA, size, k, others_GA is None)
    own = slice(start, start + size)
    distance_Fk[own], index_Fk[own] = meshes.fetch(found)
  return index_Fk, distance_Fk


@jax.jit(static_argnames=('size', 'k', 'itself'))
def _of_block(start, unit_FA, unit_GA, size: int, k: int, itself: bool):
  own_nA = jax.lax.dynamic_slice_in_dim(unit_FA, start, size)
  # Full float32 on every device: lower precision would reorder near neighbours.
  cosine_nG = jnp.matmul(own_nA, unit_GA.T, precision='highest')
  if itself:
    number_n1 = start + jnp.arange(size)[:, None]
    # 2 ranks each row above all others.
    cosine_nG = jnp.where(number_n1 == jnp.arange(len(unit_GA)), 2, cosine_nG)
  cosine_nk, index_nk = jax.lax.top_k(cosine_nG, k)
  return jnp.clip(1 - cosine_nk, 0), index_nk


def nearest(
  rows_FA: np.ndarray,
  fired_F: np.ndarray,
  k: int,
  others: tuple[np.ndarray, np.ndarray] | None = None,
  block: int = 1_024,
) -> tuple[np.ndarray, np.ndarray]:
  """The k nearest neighbours of each feature that fired, among those that did.

  A feature that never fired learned nothing, so it neither has neighbours nor
  is one.

  Args:
    rows_FA: decoder rows.
    fired_F: whether each feature ever fired.
    k: number of neighbours.
    others: rows and firings of the dictionary to search; None for the same
      dictionary, in which a feature is not its own neighbour.
    block: see `neighbours`.

  Returns:
    index_Fk, int32, and cosine_Fk, float32, nearest first; -1 and NaN for
    missing neighbours.
  """
  others_GA, fired_G = (rows_FA, fired_F) if others is None else others
  itself = int(others is None)
  asked, among = np.flatnonzero(fired_F), np.flatnonzero(fired_G)
  index_Fk = np.full((len(rows_FA), k), -1, np.int32)
  cosine_Fk = np.full((len(rows_FA), k), np.nan, np.float32)
  there = min(k, among.size - itself)
  if asked.size and there > 0:
    found, distance = neighbours(
      rows_FA[asked],
      there + itself,
      None if itself else others_GA[among],
      block,
    )
    index_Fk[asked, :there] = among[found[:, itself:]]
    cosine_Fk[asked, :there] = 1 - distance[:, itself:]
  return index_Fk, cosine_Fk


def layout(
  rows_FA: np.ndarray,
  dimensions: int = 2,
  min_dist: float = MIN_DIST['small'],
  seed: int = 0,
) -> np.ndarray:
  """UMAP of the rows: position_FD.

  Raises:
    UserError: umap-learn is not installed, or the rows are too few.
  """
  k = min(NEIGHBOURS, len(rows_FA) - 1)
  if k < 2 or len(rows_FA) <= dimensions + 1:
    raise UserError(
      f'geometry: {len(rows_FA)} features are too few for a layout in '
      f'{dimensions} dimensions.'
    )
  index_Fk, distance_Fk = neighbours(rows_FA, k)

  def fit() -> list[list[float]]:
    umap = _umap().UMAP(
      n_neighbors=k,
      n_components=dimensions,
      min_dist=min_dist,
      metric='cosine',
      precomputed_knn=(index_Fk, distance_Fk, None),
      random_state=seed,
      n_jobs=1,  # a seed allows only one
    )
    # The warning is that the layout cannot be applied to other points.
    with warnings.catch_warnings():
      warnings.filterwarnings('ignore', 'precomputed_knn', UserWarning)
      return umap.fit_transform(np.asarray(rows_FA, np.float32)).tolist()

  # UMAP runs on the CPU, and rounding could give other processes other layouts.
  return np.array(hosts.on_first_process(fit), np.float32)


def _umap():
  try:
    with warnings.catch_warnings():  # umap warns that TensorFlow is missing
      warnings.simplefilter('ignore', ImportWarning)
      import umap
  except ImportError:
    raise UserError(
      'the layout of features needs umap-learn: pip install '
      'monosem_jax[analysis]'
    ) from None
  return umap


@dataclasses.dataclass(frozen=True)
class Clusters:
  """Clusters of features.

  Attributes:
    cluster_F: index of each feature's cluster; -1 for features without one.
    medoid_C: the feature of each cluster that is nearest to its other features.
    order_F: all features in the paper's order. Features without a cluster and
      the medoids of clusters are ordered by a one-dimensional layout, and each
      cluster is listed in place of its medoid.
  """

  cluster_F: np.ndarray
  medoid_C: np.ndarray
  order_F: np.ndarray


def clusters(rows_FA: np.ndarray, seed: int = 0) -> Clusters:
  """HDBSCAN on a 10-dimensional UMAP, as in the paper.

  Raises:
    UserError: see `layout`.
  """
  position_FD = layout(
    rows_FA, CLUSTER_DIMENSIONS, MIN_DIST['clusters'], seed=seed
  )
  from sklearn.cluster import HDBSCAN  # in the same extra as umap-learn

  cluster_F = HDBSCAN(min_cluster_size=CLUSTER_SIZE, copy=True).fit_predict(
    position_FD
  )
  members = [np.flatnonzero(cluster_F == i) for i in range(cluster_F.max() + 1)]
  medoid_C = np.array([_medoid(rows_FA, m) for m in members], np.int64)
  leading = np.concatenate([np.flatnonzero(cluster_F < 0), medoid_C])
  order_F: list[int] = []
  for i in leading[_line(rows_FA[leading], seed)]:
    whole = cluster_F[i] >= 0
    order_F.extend(members[cluster_F[i]].tolist() if whole else [int(i)])
  return Clusters(cluster_F, medoid_C, np.array(order_F))


def _medoid(rows_FA: np.ndarray, members: np.ndarray) -> int:
  unit_nA = np.asarray(unit_rows(jnp.asarray(rows_FA[members])))
  return int(members[(unit_nA @ unit_nA.sum(0)).argmax()])


def _line(rows_nA: np.ndarray, seed: int) -> np.ndarray:
  if len(rows_nA) <= 3:  # nothing to lay out
    return np.arange(len(rows_nA))
  return layout(rows_nA, 1, seed=seed)[:, 0].argsort(kind='stable')


def clumping(
  rows_FA: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Whether directions clump: cosines with the nearest, beside random ones.

  The paper describes this in words; the statistic is ours. Features that are
  spread evenly are no nearer to each other than random directions are.

  Returns:
    nearest_F, the cosine of each feature with the nearest other feature, and
    the same for as many isotropic directions.
  """
  nearest = lambda rows: 1 - neighbours(rows, 2)[1][:, 1]
  features, width = rows_FA.shape
  return nearest(rows_FA), nearest(random_rows(features, width, seed))


def random_rows(features: int, width: int, seed: int) -> np.ndarray:
  """Isotropic unit directions: rows_FA, float32."""
  rows_FA = np.random.default_rng(seed).normal(size=(features, width))
  norm_F1 = np.linalg.norm(rows_FA, axis=1, keepdims=True)
  return (rows_FA / norm_F1).astype(np.float32)
