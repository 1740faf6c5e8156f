"""Cross-moments of two sets of features, summed over tokens on the device.

Correlations between features, with neurons, with labels, and between models all
follow from the same sums, so that no activation has to be stored. For X and Y
features the sums take at most three matrices of X x Y. Large sets are processed
in blocks of X, see `blocks`.
"""

from collections.abc import Callable, Iterable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.mesh import SPECS, constrain, fetch, in_place
from monosem_jax.device.precision import Dot

# Number of batches that are added up in float32.
_FETCHED = 256


@flax.struct.dataclass
class Moments:
  """Sums over tokens of activations x of X features and y of Y other features.

  Attributes:
    tokens: number of tokens.
    sum_X: sum of x.
    square_X: sum of x^2.
    sum_Y: sum of y.
    square_Y: sum of y^2.
    product_XY: sum of x y.
    x_square_XY: sum of x^2 over tokens on which y fires; None if not masked.
    y_square_XY: sum of y^2 over tokens on which x fires; None if not masked.
  """

  tokens: jax.Array
  sum_X: jax.Array
  square_X: jax.Array
  sum_Y: jax.Array
  square_Y: jax.Array
  product_XY: jax.Array
  x_square_XY: jax.Array | None
  y_square_XY: jax.Array | None


def adding(of: Callable) -> Callable:
  """Compiles `step(sums, args, batch) -> sums` for `collect`.

  The step adds the pytree `of(args, batch)` to the sums, which it donates. The
  sums are None for the first batch.
  """

  @jax.jit(donate_argnums=0)
  def step(sums, args, batch):
    found = of(args, batch)
    if sums is not None:
      found = jax.tree.map(jnp.add, sums, found)
    return in_place(found)

  return step


def make_step(pair: Callable, dot: Dot, masked: bool = False) -> Callable:
  """Compiles `step(moments, args, batch) -> moments`, see `adding`.

  Args:
    pair: `pair(args, batch) -> (x_NX, y_NY)`.
    dot: the matrix product.
    masked: whether to compute x_square_XY and y_square_XY.
  """

  def of(args, batch) -> Moments:
    x_NX, y_NY = pair(args, batch)
    x_NX = constrain(x_NX, SPECS.f_NF)
    both = lambda a_NX, b_NY: dot('nx,ny->xy', a_NX, b_NY)
    fires = lambda x: (x > 0).astype(x.dtype)
    return Moments(
      tokens=jnp.asarray(len(x_NX), jnp.int32),
      sum_X=x_NX.sum(0),
      square_X=jnp.square(x_NX).sum(0),
      sum_Y=y_NY.sum(0),
      square_Y=jnp.square(y_NY).sum(0),
      product_XY=both(x_NX, y_NY),
      x_square_XY=both(jnp.square(x_NX), fires(y_NY)) if masked else None,
      y_square_XY=both(fires(x_NX), jnp.square(y_NY)) if masked else None,
    )

  return adding(of)


def collect(step: Callable, args, batches: Iterable):
  """The sums over a stream of batches, on the host, in float64.

  The float32 sums are fetched from the device every few hundred batches, before
  they grow so large that small terms are lost to rounding.

  Args:
    step: the result of `adding`.
    args: its second argument.
    batches: the batches.
  """
  total, sums = None, None
  for i, batch in enumerate(batches):
    sums = step(sums, args, batch)
    if i % _FETCHED == _FETCHED - 1:
      total, sums = _add(total, sums), None
  return total if sums is None else _add(total, sums)


def _add(total, sums):
  on_host = jax.tree.map(lambda x: np.asarray(x, np.float64), fetch(sums))
  return on_host if total is None else jax.tree.map(np.add, total, on_host)


def correlation(m: Moments) -> np.ndarray:
  """Pearson correlation r_XY, float32; 0 if one of the two is constant."""
  n = m.tokens
  covariance_XY = m.product_XY / n - np.outer(m.sum_X / n, m.sum_Y / n)
  variance_X = m.square_X / n - (m.sum_X / n) ** 2
  variance_Y = m.square_Y / n - (m.sum_Y / n) ** 2
  # A variance below rounding error belongs to a constant.
  varies_X = variance_X > 1e-6 * m.square_X / n
  varies_Y = variance_Y > 1e-6 * m.square_Y / n
  scale_X = np.where(varies_X, variance_X, np.inf) ** -0.5
  scale_Y = np.where(varies_Y, variance_Y, np.inf) ** -0.5
  r_XY = covariance_XY * scale_X[:, None] * scale_Y
  return np.asarray(r_XY, np.float32)


def masked_cosine(m: Moments) -> np.ndarray:
  """The masked cosine similarity s_XY (paper, feature splitting), float32.

  It is the cosine of the activations of two features over the tokens on which
  one of them fires; of the two masks, the larger cosine counts. It is 0 if one
  of the features never fires.
  """

  def cosine(x_square, y_square):
    norm_XY = np.sqrt(x_square * y_square)
    norm_XY[norm_XY == 0] = np.inf
    return m.product_XY / norm_XY

  where_x_fires = cosine(m.square_X[:, None], m.y_square_XY)
  where_y_fires = cosine(m.x_square_XY, m.square_Y)
  return np.maximum(where_x_fires, where_y_fires).astype(np.float32)


def blocks(X: int, Y: int, matrices: int, most_bytes: float) -> list[slice]:
  """Blocks of X for which two copies of the sums fit into `most_bytes`.

  Args:
    X: number of features to divide into blocks.
    Y: number of features on the other side.
    matrices: number of float32 matrices of X x Y in the sums.
    most_bytes: memory for both copies.
  """
  rows = max(1, int(most_bytes / (2 * 4 * matrices * Y)))
  return [slice(i, min(i + rows, X)) for i in range(0, X, rows)]
