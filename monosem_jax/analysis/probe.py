"""What features do on a text that a user has just typed.

For each token it gives the most active features, and for each of these

  activation   f_i(t_j)
  attribution  f_i(t_j) times the feature's logit weight of t_{j+1}, minus the
               median of its logit weights (`universality.attributions`)
  rise         increase of the loss of t_{j+1} without the feature, nats
               (`ablation.effects_of`)

The definitions are those used for the whole corpus. All of it is one compiled
program for a full context, so that no text needs another compilation.
"""

import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp

from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode

# Number of pairs of a feature and a token whose logits are held at a time.
_PAIRS = 256


@flax.struct.dataclass
class Probed:
  """A window of T tokens, and the L most active features on each.

  Values that need the next token are NaN after the text's last token.

  Attributes:
    loss_T: loss of the next token, nats.
    firing_T: number of features that fire.
    feature_TL: the most active features, strongest first; those with an
      activation of 0 are arbitrary.
    activation_TL: their activations.
    attribution_TL: their attributions to the next token.
    rise_TL: increase of the loss without the feature, nats; NaN also if the
      feature does not fire or layers follow the site.
  """

  loss_T: jax.Array
  firing_T: jax.Array
  feature_TL: jax.Array
  activation_TL: jax.Array
  attribution_TL: jax.Array
  rise_TL: jax.Array


@jax.jit
def medians(lm, sae: SAE, top_ids_F: jax.Array, top_F: jax.Array) -> jax.Array:
  """The median of each feature's logit weights over the vocabulary, [F].

  A feature table holds one logit weight of each feature, minus the median. So
  the median follows from that one weight, without sorting F x V weights.

  Args:
    lm: the transformer.
    sae: a dictionary of it.
    top_ids_F: a token for each feature.
    top_F: the feature's logit weight of that token, minus the median
      (`FeatureTable.logit_top_FL`).
  """
  W_FD = lm.W_U_DV[...].T[top_ids_F]
  return lm.dot('fd,fd->f', lm.read_out(sae.W_dec_FA), W_FD) - top_F


@functools.cache
def make_probe(
  dot: Dot, shown: int, effects_of: Callable | None = None
) -> Callable[..., Probed]:
  """Compiles `probe(lm, sae, median_F, tokens_T, next_T, known)`.

  `next_T` are the tokens after `tokens_T`. The first `known` of them belong to
  the text; the rest is padding, which earlier tokens do not attend to.

  Args:
    dot: the matrix product of the dictionary.
    shown: L, the number of features per token.
    effects_of: `ablation.effects_of`; None if layers follow the site.
  """

  @jax.jit
  def probe(lm, sae: SAE, median_F, tokens_T, next_T, known) -> Probed:
    x_BTD, acts_BTA = lm.residual(tokens_T[None])
    f_TF = encode(sae, acts_BTA[0].astype(sae.b_enc_F.dtype), dot)
    f_TL, feature_TL = jax.lax.top_k(f_TF, shown)
    rows_PA = sae.W_dec_FA[feature_TL.reshape(-1)]
    known_T = jnp.arange(tokens_T.size) < known
    of_known = lambda x: jnp.where(
      known_T.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.nan
    )

    log_p_TV = jax.nn.log_softmax(lm.unembed(x_BTD)[0])
    loss_T = -jnp.take_along_axis(log_p_TV, next_T[:, None], 1)[:, 0]
    # Only the logit weights of next tokens are computed.
    rows_TLD = lm.read_out(rows_PA).reshape(*f_TL.shape, -1)
    weight_TL = lm.dot('tld,td->tl', rows_TLD, lm.W_U_DV[...].T[next_T])
    attribution_TL = f_TL * (weight_TL - median_F[feature_TL])
    firing_TL = (f_TL > 0) & known_T[:, None]
    if effects_of is None:
      rise_TL = jnp.full(f_TL.shape, jnp.nan)
    else:
      removed_PD = f_TL.reshape(-1, 1) * lm.into_stream(rows_PA)
      rise = functools.partial(_rise, lm, effects_of, x_BTD[0], next_T)
      rise_TL = rise(removed_PD, firing_TL.reshape(-1)).reshape(f_TL.shape)
    return Probed(
      loss_T=of_known(loss_T),
      firing_T=(f_TF > 0).sum(1, dtype=jnp.int32),
      feature_TL=feature_TL,
      activation_TL=f_TL,
      attribution_TL=of_known(attribution_TL),
      rise_TL=rise_TL,
    )

  return probe


def _rise(lm, effects_of, x_TD, next_T, removed_PD, firing_P) -> jax.Array:
  """The effect on the loss for all P = T L pairs, computed for firing ones."""
  P, L = firing_P.size, firing_P.size // next_T.size
  M = min(_PAIRS, P)
  # Firing pairs come first and are processed M at a time.
  (order_P,) = jnp.nonzero(firing_P, size=P, fill_value=P)
  order_P = jnp.pad(order_P, (0, -P % M), constant_values=P)

  def work(i, rise_P):
    pair_M = jax.lax.dynamic_slice(order_P, (i * M,), (M,))
    at_M = pair_M // L
    found = effects_of(lm, x_TD[at_M], removed_PD[pair_M], next_T[at_M])
    return rise_P.at[pair_M].set(found.loss_M, mode='drop')

  batches = -(-firing_P.sum(dtype=jnp.int32) // M)
  return jax.lax.fori_loop(0, batches, work, jnp.full(P, jnp.nan))
