"""What features predict by the direct path, and a check of that prediction.

Logit weights (paper, interpreting feature effects) are a linear approximation:
they ignore the final norm's scale and its change. The check compares them with
the measured effect on all logits of ablating a feature at a token.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis.results.features import Agreement
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode, rows_of
from monosem_jax.features.moments import adding


def shape(
  lm,
  W_dec_FA: jax.Array,
  known_V: np.ndarray,
  block: int = 256,
) -> dict[str, np.ndarray]:
  """Skew and kurtosis of each feature's logit weights over the vocabulary.

  A feature that predicts a few tokens has a heavy right tail. The weights of a
  random direction are nearly normal, with skewness 0 and kurtosis 3.

  Args:
    lm: the transformer.
    W_dec_FA: the decoder.
    known_V: tokens to include, bool; the paper leaves out tokens that hardly
      occur.
    block: features per block, which bounds the memory of v_FV.

  Returns:
    `skew_F` and `kurtosis_F`; NaN for a feature without an effect.
  """
  ids_M = np.flatnonzero(known_V)
  parts = [
    meshes.fetch(_shape(lm, W_dec_FA[i : i + block], ids_M))
    for i in range(0, len(W_dec_FA), block)
  ]
  skews, kurtoses = zip(*parts, strict=True)
  return {
    'skew_F': np.concatenate(skews),
    'kurtosis_F': np.concatenate(kurtoses),
  }


@jax.jit
def _shape(lm, rows_FA, ids_M):
  v_FM = lm.logit_weights(rows_FA)[:, ids_M]
  v_FM = v_FM - v_FM.mean(1, keepdims=True)
  scale_F1 = jnp.sqrt(jnp.square(v_FM).mean(1, keepdims=True))
  z_FM = v_FM / jnp.where(scale_F1 > 0, scale_F1, jnp.nan)
  return (z_FM**3).mean(1), (z_FM**4).mean(1)


def make_check(dot: Dot, pairs: int) -> Callable:
  """Compiles `step(sums, (lm, sae, rows_FD), (tokens_BT, key))`.

  Each batch contributes random pairs of a feature and a token on which it
  fires. For each pair, the step measures the change of all logits when the
  feature is ablated, and predicts it as -f v / sigma. Here v are the logit
  weights and sigma is the standard deviation by which the final norm divides
  the unchanged token. Both are centred over the vocabulary, since adding a
  constant to all logits changes nothing.

  Args:
    dot: the matrix product.
    pairs: number of pairs per batch. The step's rows_FD is the result of
      `rows`.

  Returns:
    A step that adds up sums for `agreement`, see `features.moments.adding`.
  """

  def of(args, batch):
    lm, sae, rows_FD = args
    tokens_BT, key = batch
    x_BTD, acts_BTA = lm.residual(tokens_BT)
    x_ND = rows_of(x_BTD)
    f_NF = encode(sae, rows_of(acts_BTA), dot)
    # A random subset of the firings, or all of them if there are fewer.
    draw_NF = jnp.where(f_NF > 0, jax.random.uniform(key, f_NF.shape), 0)
    chance_M, at_M = jax.lax.top_k(draw_NF.reshape(-1), pairs)
    token_M, feature_M = jnp.divmod(at_M, f_NF.shape[1])
    there_M1 = (chance_M > 0).astype(f_NF.dtype)[:, None]
    x_MD, f_M1 = x_ND[token_M], f_NF[token_M, feature_M][:, None]
    unembed = lambda x_MD: lm.unembed(x_MD[:, None])[:, 0]
    stream_FD = lm.into_stream(sae.W_dec_FA)
    without_MD = x_MD - f_M1 * stream_FD[feature_M]
    change_MV = unembed(without_MD) - unembed(x_MD)
    spread_M1 = jnp.sqrt(x_MD.var(1, keepdims=True) + 1e-5)
    v_MV = dot('md,dv->mv', rows_FD[feature_M], lm.W_U_DV[...])
    linear_MV = -f_M1 / spread_M1 * v_MV
    centre = lambda x_MV: there_M1 * (x_MV - x_MV.mean(1, keepdims=True))
    y_MV, x_MV = centre(change_MV), centre(linear_MV)
    xx_M, yy_M = jnp.square(x_MV).sum(1), jnp.square(y_MV).sum(1)
    xy_M = (x_MV * y_MV).sum(1)
    norm_M = jnp.sqrt(xx_M * yy_M)
    own_M = jnp.where(norm_M > 0, xy_M / jnp.where(norm_M > 0, norm_M, 1), 0)
    return {
      'pairs': there_M1.sum(),
      'xx': xx_M.sum(),
      'yy': yy_M.sum(),
      'xy': xy_M.sum(),
      'own': own_M.sum(),
    }

  return adding(of)


def agreement(sums: dict) -> Agreement:
  """How well the linear prediction agrees with the measurement.

  Returns:
    The agreement; its correlations and slope are None without pairs.
  """
  if not sums['pairs'] or not sums['xx'] or not sums['yy']:
    return Agreement(int(sums['pairs']), None, None, None)
  return Agreement(
    pairs=int(sums['pairs']),
    correlation=float(sums['xy'] / np.sqrt(sums['xx'] * sums['yy'])),
    mean_correlation=float(sums['own'] / sums['pairs']),
    slope=float(sums['xy'] / sums['xx']),
  )


@jax.jit
def rows(lm, sae: SAE) -> jax.Array:
  """The decoder rows as W_U reads them: rows_FD."""
  return lm.read_out(sae.W_dec_FA)
