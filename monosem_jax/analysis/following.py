"""Which features fire one after the other in text, and in which order.

All counts are over pairs of adjacent tokens of the same document. They are kept
by groups of documents, for intervals.
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
  """Counts of pairs of adjacent tokens, by G groups of documents.

  Attributes:
    pairs_G: pairs of tokens.
    first_GX: pairs on whose first token each of X features fires.
    then_GX: pairs on whose second token each of X features fires.
    both_GM: pairs on whose first token the source of each of M edges fires and
      on whose second token its target fires.
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
  """Compiles a step for `moments.collect` that adds up `Followed`.

  Args:
    activations: `activations(args, batch) -> f_NX`; a batch is tokens_BT and
      the group of each token's document, group_BT.
    separator: the token at the start of each document; it makes no pair with
      the token before it.
    groups: G.
    source_M: the source of each edge, a column of f_NX.
    target_M: the target of each edge, a column of f_NX.
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
      # Gathering rows is fast; columns would be read one number at a time.
      both_GM=count(first_XN[source_M] & then_XN[target_M]),
    )

  return adding(of)


def surprise(more_GM: np.ndarray) -> np.ndarray:
  """One-sided p-values for the hypothesis that differences are 0 on average.

  For independent differences x_g that are symmetric about 0 under the null
  hypothesis, P(sum / sqrt(sum of squares) >= t) <= exp(-t^2 / 2) (Hoeffding's
  inequality, given the |x_g|), for any number of groups. This bound is
  conservative: evidence from a single group is never significant.

  Args:
    more_GM: the difference in each group.

  Returns:
    p_M; 1 if the sum of differences is not positive.
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
  """The number of pairs of each edge above that expected from the base rate.

  Args:
    pairs_G, both_GM: as in `Followed`.
    first_GM: `Followed.first_GX` of each edge's source.
    then_GM: `Followed.then_GX` of each edge's target.

  Returns:
    more_GM = both - first P(target), with P over all pairs, for `surprise`.
  """
  return both_GM - first_GM * (then_GM.sum(0) / pairs_G.sum())


@jax.jit(static_argnames='closes')
def in_turn(fires_BTn: jax.Array, closes: bool) -> jax.Array:
  """The length of the run of features firing in turn that ends at each token.

  Args:
    fires_BTn: whether each of n features fires, in their order.
    closes: whether the first feature follows the last.

  Returns:
    length_BTn, the length of the run that ends at a token with a feature; 0 if
    that feature does not fire there.
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
