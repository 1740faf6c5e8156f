"""Example texts that show the active features of every token.

This is the paper's text view. For each token it keeps the most active features
and their attributions to the next token, which are activation times logit
weight, as in `analysis.universality`.
"""

import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.device.mesh import (
  SPECS,
  constrain,
  f_spec,
  feature_shards,
  per_device,
  tokens_spec,
)
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode, rows_of


def choose(
  document_C: np.ndarray,
  whole_C: np.ndarray,
  subset_D: np.ndarray,
  count: int,
  seed: int,
) -> np.ndarray:
  """Draws contexts from all subsets and from many documents.

  Subsets take turns until there are enough contexts. Within a subset the order
  is random, except for three classes. First come contexts that lie inside one
  document, one for each document; then further contexts of this kind; and last
  contexts with a boundary between documents.

  Args:
    document_C: document of each context.
    whole_C: whether the whole context is from that document.
    subset_D: subset of each document.
    count: maximum number of contexts.
    seed: random seed of the draw.

  Returns:
    Indices of the contexts, ordered by subset and then ascending.
  """
  C = len(document_C)
  order = np.random.default_rng(seed).permutation(C)
  order = order[np.argsort(~whole_C[order], kind='stable')]
  # False for the first context of each document, True for its others.
  again = np.ones(C, bool)
  again[np.unique(document_C[order], return_index=True)[1]] = False
  order = order[np.lexsort((again, ~whole_C[order]))]
  subset = subset_D[document_C[order]]
  by_subset = np.argsort(subset, kind='stable')
  first = np.searchsorted(subset[by_subset], subset[by_subset])
  turn = np.empty(C, np.int64)
  turn[by_subset] = np.arange(C) - first
  chosen = order[np.argsort(turn, kind='stable')[:count]]
  return chosen[np.lexsort((chosen, subset_D[document_C[chosen]]))]


@flax.struct.dataclass
class View:
  """The active features of each token.

  Attributes:
    feature_BTL: the most active features, strongest first; -1 if fewer are
      active.
    activation_BTL: their activations; 0 if fewer are active.
    attribution_BTL: activation times logit weight of the next token, minus the
      feature's median logit weight. The unit is nats, up to the scale of the
      final norm. NaN at the last position, whose next token is unknown.
    active_BT: number of active features, including those not kept.
  """

  feature_BTL: jax.Array
  activation_BTL: jax.Array
  attribution_BTL: jax.Array
  active_BT: jax.Array


@functools.cache
def make_view(
  forward: Callable[..., jax.Array], dot: Dot, active: int
) -> Callable:
  """Compiles `view(lm, sae, rows_FD, median_F, tokens_BT) -> View`.

  Args:
    forward: `forward(lm, tokens_BT) -> acts_BTA`.
    dot: the matrix product.
    active: L, the number of features kept per token.

  `rows_FD` and `median_F` are those of `analysis.universality.Side`.
  """

  @jax.jit
  def view(lm, sae: SAE, rows_FD, median_F, tokens_BT) -> View:
    B, T = tokens_BT.shape
    acts_BTA = forward(lm, constrain(tokens_BT, tokens_spec(B)))
    x_NA = rows_of(acts_BTA).astype(sae.b_enc_F.dtype)
    f_NF = constrain(encode(sae, x_NA, dot), f_spec(B * T))
    value_NL, feature_NL = most_active(f_NF, active)
    next_N = jnp.roll(tokens_BT, -1, axis=1).reshape(-1)
    W_ND = lm.W_U_DV[...].T[next_N]
    weight_NL = dot('nd,nld->nl', W_ND, rows_FD[feature_NL])
    attribution_NL = value_NL * (weight_NL - median_F[feature_NL])
    last_T1 = (jnp.arange(T) == T - 1)[:, None]
    wide = lambda x_NL: constrain(x_NL, SPECS.replicated).reshape(B, T, -1)
    return View(
      feature_BTL=wide(jnp.where(value_NL > 0, feature_NL, -1)),
      activation_BTL=wide(value_NL),
      attribution_BTL=jnp.where(last_T1, jnp.nan, wide(attribution_NL)),
      active_BT=(f_NF > 0).sum(1, dtype=jnp.int32).reshape(B, T),
    )

  return view


def most_active(f_NF: jax.Array, active: int) -> tuple[jax.Array, jax.Array]:
  """The `active` largest features of each row: value_NL, feature_NL.

  The result equals that of `lax.top_k`, ties included. But each device sends
  only its own largest features, where `lax.top_k` would send all of f_NF.
  """

  def of_device(f_nf, number_f):
    value_nl, at_nl = jax.lax.top_k(f_nf, min(active, f_nf.shape[1]))
    return value_nl, number_f[at_nl]

  f_at = f_spec(len(f_NF))
  number_F = jnp.arange(f_NF.shape[1], dtype=jnp.int32)
  found = per_device(of_device, (f_at, SPECS.fired_F), (f_at, f_at))(
    f_NF, number_F
  )
  value_NL, feature_NL = (constrain(x, SPECS.replicated) for x in found)
  if feature_shards() == 1:
    return value_NL, feature_NL
  value_NL, at_NL = jax.lax.top_k(value_NL, min(active, f_NF.shape[1]))
  return value_NL, jnp.take_along_axis(feature_NL, at_NL, 1)
