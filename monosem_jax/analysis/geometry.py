"""How features lie to one another (paper, on feature geometry).

The decoder rows of one or several dictionaries, all directions of the same
activations, are laid out in the plane by UMAP, and clustered, with the paper's
parameters; umap-learn and scikit-learn do that, from nearest neighbours that
are exact and come from the device.
"""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config.errors import UserError
from monosem_jax.device import hosts, mesh as meshes
from monosem_jax.dictionary.sae import unit_rows

# The paper's: of the layout of A/0 and A/1, of that with A/2, of the clusters.
MIN_DIST = {'small': 0.05, 'large': 0.01, 'clusters': 0.1}
NEIGHBOURS, CLUSTER_DIMENSIONS, CLUSTER_SIZE = 15, 10, 3


def neighbours(
  rows_FA: np.ndarray,
  k: int,
  others_GA: np.ndarray | None = None,
  block: int = 1_024,
) -> tuple[np.ndarray, np.ndarray]:
  """Each row's k nearest by cosine: index_Fk, distance_Fk, nearest first.

  Args:
    rows_FA: directions, of any length.
    k: how many, at most as many as there are.
    others_GA: those they are looked for among; None for the rows themselves,
      where each is its own first one, even before its twins.
    block: bounds the memory, at block x G numbers.

  Returns:
    The numbers of the nearest, int32, and 1 - cosine, float32.
  """
  unit = lambda rows: unit_rows(jnp.asarray(rows, jnp.float32))
  unit_FA = unit(rows_FA)
  unit_GA = unit_FA if others_GA is None else unit(others_GA)
  F = len(unit_FA)
  size = min(block, F)
  # The last block begins early enough to be whole.
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
  # In float32 on every device: halved products would put near ones in disorder.
  cosine_nG = jnp.matmul(own_nA, unit_GA.T, precision='highest')
  if itself:
    number_n1 = start + jnp.arange(size)[:, None]
    # Above all others.
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
  """The k nearest of each feature that fires, among those that do.

  A row that never fired was learned from nothing: it neither has neighbours nor
  is one.

  Args:
    rows_FA, fired_F: the decoder, and whether each feature ever fired.
    k: how many.
    others: the same of the dictionary they are looked for in; None for its own,
      where a feature is none of its neighbours.
    block: see `neighbours`.

  Returns:
    index_Fk, int32, and cosine_Fk, float32, falling; -1 and NaN where there is
    none.
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
      f'geometry: {len(rows_FA)} features are too few to be laid out in '
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
      n_jobs=1,  # what a seed allows
    )
    with warnings.catch_warnings():  # that others cannot be laid out with it
      warnings.filterwarnings('ignore', 'precomputed_knn', UserWarning)
      return umap.fit_transform(np.asarray(rows_FA, np.float32)).tolist()

  # It is no device's work, and roundings would lay it out otherwise elsewhere.
  return np.array(hosts.on_first_process(fit), np.float32)


def _umap():
  try:
    with warnings.catch_warnings():  # that there is no TensorFlow
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
    cluster_F: the number of each feature's cluster, from 0; -1 for none.
    medoid_C: of each cluster, the feature nearest to all others of it.
    order_F: all features as the paper lists them: along a line on which lie
      the features of no cluster, and in place of its medoid each cluster.
  """

  cluster_F: np.ndarray
  medoid_C: np.ndarray
  order_F: np.ndarray


def clusters(rows_FA: np.ndarray, seed: int = 0) -> Clusters:
  """HDBSCAN on a UMAP of 10 dimensions, as the paper.

  Raises:
    UserError: as `layout`.
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
  """Whether directions clump: nearest cosines, beside those of random ones.

  Our statistic for what the paper says in words. Features that acted alike but
  were spread evenly would be no nearer than random directions are.

  Returns:
    Of each feature the cosine with the nearest other one, nearest_F, and the
    same of as many isotropic directions.
  """
  nearest = lambda rows: 1 - neighbours(rows, 2)[1][:, 1]
  features, width = rows_FA.shape
  return nearest(rows_FA), nearest(random_rows(features, width, seed))


def random_rows(features: int, width: int, seed: int) -> np.ndarray:
  """Isotropic unit directions: rows_FA, float32."""
  rows_FA = np.random.default_rng(seed).normal(size=(features, width))
  norm_F1 = np.linalg.norm(rows_FA, axis=1, keepdims=True)
  return (rows_FA / norm_F1).astype(np.float32)
