"""Which features fire one after the other in text, and in which order.

All counts are of two tokens next to each other in one document, and are kept by
groups of documents, so that what is said of them gets its interval.
"""

from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.precision import Dot
from monosem_jax.features.moments import adding


@flax.struct.dataclass
class Followed:
  """Sums over pairs of tokens, by G groups of documents.

  Attributes:
    pairs_G: their number.
    first_GX: those on whose first token each of X features fires.
    then_GX: those on whose second token each fires.
    both_GM: those on whose first token the source of each of M edges fires, and
      on whose second one the target.
  """

  pairs_G: jax.Array
  first_GX: jax.Array
  then_GX: jax.Array
  both_GM: jax.Array


def make_step(
  activations: Callable,
  separator: int,
  groups: int,
  source_M: np.ndarray,
  target_M: np.ndarray,
  dot: Dot,
) -> Callable:
  """Compiles a step for `moments.collect`, which sums up `Followed`.

  Args:
    activations: `activations(args, batch) -> f_NX`; a batch is tokens_BT and
      the group of each token's document, group_BT.
    separator: the token that opens a document; none follows on the one before.
    groups: G.
    source_M, target_M: of the edges, columns of f_NX.
    dot: the matrix product.
  """

  def of(args, batch) -> Followed:
    tokens_BT, group_BT = batch
    f_NX = activations(args, batch)
    fires_XBT = (f_NX > 0).T.reshape(f_NX.shape[1], *tokens_BT.shape)
    flat = lambda x_XBT: x_XBT.reshape(len(x_XBT), tokens_BT[:, 1:].size)
    first_XN, then_XN = flat(fires_XBT[..., :-1]), flat(fires_XBT[..., 1:])
    inside_N = (tokens_BT[:, 1:] != separator).reshape(-1)
    own_NG = group_BT[:, 1:].reshape(-1, 1) == jnp.arange(groups)
    own_NG = (own_NG & inside_N[:, None]).astype(jnp.float32)
    count = lambda x_XN: dot('ng,xn->gx', own_NG, x_XN.astype(jnp.float32))
    return Followed(
      pairs_G=own_NG.sum(0),
      first_GX=count(first_XN),
      then_GX=count(then_XN),
      # Rows are gathered, since columns would be one number at a time.
      both_GM=count(first_XN[source_M] & then_XN[target_M]),
    )

  return adding(of)


def surprise(more_GM: np.ndarray) -> np.ndarray:
  """A one-sided p-value of sums over groups: that they are 0 on average.

  For independent differences x_g that are symmetric about 0 under the null
  hypothesis, P(sum / sqrt(sum of squares) >= t) <= exp(-t^2 / 2) (Hoeffding's
  inequality, given the |x_g|), for any number of groups. Such a bound is
  conservative: what only one group says is never found.

  Args:
    more_GM: the differences of each group.

  Returns:
    p_M; 1 where the sum is not above 0.
  """
  norm_M = np.sqrt(np.square(more_GM).sum(0))
  t_M = more_GM.sum(0) / np.where(norm_M > 0, norm_M, 1)
  return np.exp(-np.square(np.maximum(t_M, 0)) / 2)


def above_base(
  pairs_G: np.ndarray,
  first_GM: np.ndarray,
  then_GM: np.ndarray,
  both_GM: np.ndarray,
) -> np.ndarray:
  """How many more pairs of each group there are than at the base rate.

  both - first P(target), P over all pairs: more_GM, for `surprise`. The sums
  are those of `Followed`, first and then of each edge's features.
  """
  return both_GM - first_GM * (then_GM.sum(0) / pairs_G.sum())


@jax.jit(static_argnames='closes')
def in_turn(fires_BTn: jax.Array, closes: bool) -> jax.Array:
  """For how many tokens up to each features have fired in turn, without a gap.

  Args:
    fires_BTn: whether each feature fires, in their order.
    closes: whether the first one follows on the last.

  Returns:
    length_BTn, up to and with this token, on which this feature is due.
  """

  def step(length_Bn, fires_Bn):
    before_Bn = jnp.roll(length_Bn, 1, axis=1)
    if not closes:
      before_Bn = before_Bn.at[:, 0].set(0)
    length_Bn = jnp.where(fires_Bn, before_Bn + 1, 0)
    return length_Bn, length_Bn

  none_Bn = jnp.zeros((fires_BTn.shape[0], fires_BTn.shape[2]), jnp.int32)
  _, length_TBn = jax.lax.scan(step, none_Bn, fires_BTn.swapaxes(0, 1))
  return length_TBn.swapaxes(0, 1)
