"""How the next token's prediction changes when a feature is ablated.

As in the paper (feature ablations), x <- x - f_i(x) d_i at every position,
which keeps the reconstruction error. The forward pass then continues, and each
token's log-likelihood is compared with that of the clean pass. A token is
predicted at the position before it, so that is where the feature acts.

After a site in the last layer positions no longer exchange information. There
the ablation changes a position's logits through its own activation only, so
only positions at which the feature fires have to be computed. This module
covers that case.
"""

import dataclasses
import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis.results.arrays import AblationEffects
from monosem_jax.config.errors import UserError
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode
from monosem_jax.features.batching import by_context
from monosem_jax.features.table import FeatureTable

# The dtypes in which the arrays of `Effects` are saved.
_COLUMNS = {
  'loss_M': np.float16,
  'raised_ids_Mk': np.uint16,
  'raised_Mk': np.float16,
  'lowered_ids_Mk': np.uint16,
  'lowered_Mk': np.float16,
}
# Number of raised and of lowered logits that are kept, as in the published
# data.
SHOWN = 5
# Number of pairs whose logits are held in memory at a time.
_PAIRS = 1_024


@flax.struct.dataclass
class Effects:
  """Ablation effects for M pairs of a feature and a token it fires on.

  Attributes:
    loss_M: increase of the next token's loss without the feature, nats.
    raised_ids_Mk: ids of the tokens whose logits rise most, largest rise first.
    raised_Mk: the rise of these logits.
    lowered_ids_Mk: ids of the tokens whose logits fall most, largest fall
      first.
    lowered_Mk: the change of these logits, negative.
  """

  loss_M: jax.Array
  raised_ids_Mk: jax.Array
  raised_Mk: jax.Array
  lowered_ids_Mk: jax.Array
  lowered_Mk: jax.Array


def effects_of(
  lm, x_MD: jax.Array, removed_MD: jax.Array, next_M: jax.Array
) -> Effects:
  """The effects of subtracting vectors from the stream before the final norm.

  Args:
    lm: the transformer.
    x_MD: the residual stream.
    removed_MD: the vectors to subtract.
    next_M: the tokens to predict.
  """
  unembed = lambda x_MD: lm.unembed(x_MD[:, None])[:, 0]
  logits_MV, without_MV = unembed(x_MD), unembed(x_MD - removed_MD)

  def loss(logits_MV):
    own_M1 = jnp.take_along_axis(logits_MV, next_M[:, None], 1)
    return jax.nn.logsumexp(logits_MV, axis=1) - own_M1[:, 0]

  change_MV = without_MV - logits_MV
  raised_Mk, raised_ids_Mk = jax.lax.top_k(change_MV, SHOWN)
  lowered_Mk, lowered_ids_Mk = jax.lax.top_k(-change_MV, SHOWN)
  return Effects(
    loss_M=loss(without_MV) - loss(logits_MV),
    raised_ids_Mk=raised_ids_Mk,
    raised_Mk=raised_Mk,
    lowered_ids_Mk=lowered_ids_Mk,
    lowered_Mk=-lowered_Mk,
  )


@functools.cache
def make_rows(dot: Dot, width: int) -> Callable:
  """Compiles `rows(lm, sae, W_enc_FA, stream_FD, tokens_BT, feature_Bn,
  first_Bn)`.

  Row b is a context in which n features are ablated, each in a window of
  `width` tokens that starts at first_Bn. Positions outside the context, and its
  last position, which has no next token, have no effect. stream_FD is what
  decoder rows add to the residual stream.

  Returns:
    `firing_BnW`, whether a feature fires, and the `Effects` of all B n W pairs,
    in that order. Effects are computed only for pairs that fire.
  """

  @jax.jit
  def rows(lm, sae: SAE, W_enc_FA, stream_FD, tokens_BT, feature_Bn, first_Bn):
    T = tokens_BT.shape[1]
    x_BTD, acts_BTA = lm.residual(tokens_BT)
    acts_BTA = acts_BTA.astype(sae.b_enc_F.dtype)
    at_BnW = first_Bn[..., None] + jnp.arange(width)
    inside_BnW = (at_BnW >= 0) & (at_BnW < T - 1)
    at_BnW = jnp.where(inside_BnW, at_BnW, 0)

    def of_row(x_TA, W_nA, feature_n, at_nW):
      own = dataclasses.replace(
        sae, W_enc_AF=W_nA.T, b_enc_F=sae.b_enc_F[feature_n]
      )
      return jnp.take_along_axis(encode(own, x_TA, dot).T, at_nW, 1)

    f_BnW = jax.vmap(of_row)(acts_BTA, W_enc_FA[feature_Bn], feature_Bn, at_BnW)
    f_BnW = jnp.where(inside_BnW, f_BnW, 0)
    firing_P = f_BnW.reshape(-1) > 0
    P = firing_P.size
    # Firing pairs come first and are processed M at a time.
    (order_P,) = jnp.nonzero(firing_P, size=P, fill_value=P)

    def work(i, done: Effects) -> Effects:
      pair_M = jax.lax.dynamic_slice(order_P, (i * M,), (M,))
      row_M = pair_M // (feature_Bn.shape[1] * width)
      at_M = at_BnW.reshape(-1)[pair_M]
      f_M = f_BnW.reshape(-1)[pair_M]
      feature_M = feature_Bn.reshape(-1)[pair_M // width]
      found = effects_of(
        lm,
        x_BTD[row_M, at_M],
        f_M[:, None] * stream_FD[feature_M],
        tokens_BT[row_M, at_M + 1],
      )
      write = lambda all_of_it, part: all_of_it.at[pair_M].set(
        part, mode='drop'
      )
      return jax.tree.map(write, done, found)

    M = min(_PAIRS, P)
    order_P = jnp.pad(order_P, (0, -P % M), constant_values=P)
    nothing = Effects(
      loss_M=jnp.zeros(P),
      raised_ids_Mk=jnp.zeros((P, SHOWN), jnp.int32),
      raised_Mk=jnp.zeros((P, SHOWN)),
      lowered_ids_Mk=jnp.zeros((P, SHOWN), jnp.int32),
      lowered_Mk=jnp.zeros((P, SHOWN)),
    )
    batches = -(-firing_P.sum(dtype=jnp.int32) // M)
    return f_BnW > 0, jax.lax.fori_loop(0, batches, work, nothing)

  return rows


@jax.jit
def _into_stream(lm, rows_FA: jax.Array) -> jax.Array:
  return lm.into_stream(rows_FA)


def ablate(
  lm,
  sae: SAE,
  dot: Dot,
  table: FeatureTable,
  fetch: Callable[[np.ndarray], np.ndarray],
  batch_size: int,
  progress: Callable[[int, int], None],
) -> AblationEffects:
  """The effects on every token of every example of a feature table.

  Args:
    lm: the transformer.
    sae: the dictionary of the table.
    dot: the matrix product.
    table: the feature table.
    fetch: `fetch(context_B) -> tokens_BT`.
    batch_size: contexts per batch.
    progress: called with the rows done and the total number of rows.

  Returns:
    The effects on tokens at whose position before the feature fires.

  Raises:
    UserError: layers follow the site.
  """
  if not lm.site_is_last:
    raise UserError(
      "ablation: layers follow this transformer's site, so that ablating a "
      'feature at one token affects later tokens. This is not implemented yet.'
    )
  W = table.example_tokens_FEW.shape[2]
  E = table.example_tokens_FEW.shape[1]
  rows = make_rows(dot, W)
  W_enc_FA = jnp.asarray(sae.W_enc_AF).T
  stream_FD = _into_stream(lm, sae.W_dec_FA)
  context_X = table.example_context_FE.reshape(-1)
  # A window's first token is predicted at the position before the window.
  first_X = table.example_position_FE.reshape(-1).astype(np.int32)
  first_X -= table.meta['before'] + 1
  there_X = (table.example_stop_FE > 0).reshape(-1)
  parts, waiting = [], None

  def keep(example_Bn, valid_Bn, result) -> None:
    firing_BnW, effects = meshes.fetch(result)
    firing_BnW = firing_BnW & valid_Bn[..., None]
    (pair_M,) = np.nonzero(firing_BnW.reshape(-1))
    at_M = example_Bn.reshape(-1)[pair_M // W].astype(np.int64) * W
    own = {name: getattr(effects, name)[pair_M] for name in _COLUMNS}
    parts.append(
      {'at_M': at_M + pair_M % W}
      | {name: x.astype(_COLUMNS[name]) for name, x in own.items()}
    )

  for example_Bn, valid_Bn, done, total in by_context(
    context_X, there_X, batch_size
  ):
    # Slots without an example point outside the context.
    first_Bn = np.where(valid_Bn, first_X[example_Bn], -W)
    result = rows(
      lm,
      sae,
      W_enc_FA,
      stream_FD,
      fetch(context_X[example_Bn[:, 0]]),
      (example_Bn // E).astype(np.int32),
      first_Bn,
    )
    if waiting is not None:
      keep(*waiting)
    waiting = example_Bn, valid_Bn, result
    progress(done, total)
  if waiting is not None:
    keep(*waiting)
  if not parts:
    none = np.zeros((0, SHOWN))
    return AblationEffects(
      at_M=np.zeros(0, np.int64),
      **{
        name: (none[:, 0] if name == 'loss_M' else none).astype(dtype)
        for name, dtype in _COLUMNS.items()
      },
    )
  found = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
  order_M = np.argsort(found['at_M'])
  return AblationEffects(**{name: x[order_M] for name, x in found.items()})
