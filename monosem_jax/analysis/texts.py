"""Example texts on which everything that is active is shown, token by token.

The paper's text view. What is kept of each token are its most active features,
and what each says of the token that comes next: its attribution, activation
times logit weight, as in `analysis.universality`.
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
  """Draws contexts: of all subsets in turn, of many documents, whole ones.

  The subsets take turns until there are enough contexts. Each gives first, in a
  random order, contexts that lie inside one document, one of each document;
  then others of these; last those that documents meet in.

  Args:
    document_C: the document of each context.
    whole_C: whether all of the context is of that document.
    subset_D: the subset of each document.
    count: how many, at most.
    seed: of the draw.

  Returns:
    Numbers of contexts, by subset, rising.
  """
  C = len(document_C)
  order = np.random.default_rng(seed).permutation(C)
  order = order[np.argsort(~whole_C[order], kind='stable')]
  # The first context of a document, and the others of it.
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
  """What is active on each token.

  Attributes:
    feature_BTL: the most active features, falling; -1 where there is none.
    activation_BTL: of them, 0 where there is none.
    attribution_BTL: activation times logit weight of the token that comes next,
      the feature's median over the vocabulary at 0; nats but for the final
      norm's scale. NaN at the last position, after which no token is known.
    active_BT: how many are active, those without a place here too.
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
    active: L, features kept of each token.

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
  """The `active` largest features of every row, falling: value_NL, feature_NL.

  As `lax.top_k`, ties included, but of f_NF only what each device finds among
  its own features is sent: `lax.top_k` would send all of it.
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
