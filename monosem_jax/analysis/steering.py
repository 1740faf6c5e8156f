"""What a transformer says while features are held at a value ("pinned").

As the paper (feature deep dives, downstream effects): x <- x + sum over the
pinned features k of (value_k - f_k(x)) d_k. This is x + decode(f pinned) -
decode(f): what the dictionary leaves unexplained stays, and of its features
only the pinned ones have to be computed.

Our choices where the paper is silent: all positions are pinned, the prompt's
too, and a feature's maximum is the largest activation of the features pass.
Multiples of it may lie in [-10, 10], as "Scaling Monosemanticity" (2024) found;
what lies beyond makes gibberish.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.dictionary.sae import SAE, encode
from monosem_jax.errors import UserError
from monosem_jax.mesh import fetch
from monosem_jax.precision import Dot

# The paper's prefix.
PROMPT = '1,2,3,4,5,6,7,8,9,10'
# Tokens that a feature raises most, whose odds are looked at.
_TOP = 10
# A few rows cost nothing, and a value is to be what was asked for.
_DOT = Dot(jnp.dtype(jnp.float32))


@flax.struct.dataclass
class Pins:
  """K pinned features; arrays, passed into programs.

  Attributes:
    W_enc_KA, b_enc_K: f = ReLU(x W_enc^T + b_enc); the decoder bias, which
      encoders of the paper take off x first, is folded into b_enc.
    W_dec_KA: what each unit of a feature adds to x.
    value_K: what the features are held at.
  """

  W_enc_KA: jax.Array
  b_enc_K: jax.Array
  W_dec_KA: jax.Array
  value_K: jax.Array


def pins(sae: SAE, feature_K: jax.Array, value_K: jax.Array) -> Pins:
  """Pins features of a dictionary; those of several can be concatenated."""
  W_enc_KA = sae.W_enc_AF[:, feature_K].T
  return Pins(
    W_enc_KA=W_enc_KA,
    b_enc_K=sae.b_enc_F[feature_K] - _DOT('a,ka->k', sae.b_dec_A, W_enc_KA),
    W_dec_KA=sae.W_dec_FA[feature_K],
    value_K=value_K.astype(sae.b_enc_F.dtype),
  )


def none(slots: int, width: int) -> Pins:
  """So many places for pins of activations of that width, all of them empty.

  A pin of zeros changes nothing, so that texts with few pins and with many run
  through one program.
  """
  rows_KA = np.zeros((slots, width), np.float32)
  zero_K = np.zeros(slots, np.float32)
  return Pins(rows_KA, zero_K, rows_KA, zero_K)


@jax.jit
def put(
  held: Pins,
  sae: SAE,
  feature_K: jax.Array,
  value_K: jax.Array,
  own_K: jax.Array,
) -> Pins:
  """Pins features of a dictionary in those places that are its own, bool."""
  found = pins(sae, feature_K, value_K)

  def choose(x, y):
    return jnp.where(own_K.reshape(-1, *[1] * (x.ndim - 1)), x, y)

  return jax.tree.map(choose, found, held)


def patch(pins: Pins, acts_BTA: jax.Array) -> jax.Array:
  """The activations with features pinned at all positions.

  For a transformer's `patch`. Without a pin they are what they were, and the
  program around them is.
  """
  if not pins.value_K.size:
    return acts_BTA
  own = SAE(
    W_enc_AF=pins.W_enc_KA.T,
    b_enc_F=pins.b_enc_K,
    W_dec_FA=pins.W_dec_KA,
    b_dec_A=jnp.zeros_like(pins.W_dec_KA[0]),
  )
  x_NA = acts_BTA.reshape(-1, acts_BTA.shape[-1])
  change_NK = pins.value_K - encode(own, x_NA, _DOT)
  added_NA = _DOT('nk,ka->na', change_NK, pins.W_dec_KA)
  return acts_BTA + added_NA.reshape(acts_BTA.shape)


def patch_each(pins: Pins, acts_BTA: jax.Array) -> jax.Array:
  """`patch` with pins of its own for each row: arrays with an axis B first."""
  return jax.vmap(lambda own, x_TA: patch(own, x_TA[None])[0])(pins, acts_BTA)


def log_odds(logits_BTV: jax.Array, set_k: jax.Array) -> jax.Array:
  """log p - log(1 - p) of the next token being one of a set, [B, T]."""
  inside_V = jnp.zeros(logits_BTV.shape[-1], bool).at[set_k].set(True)
  of = lambda where_V: jax.nn.logsumexp(
    jnp.where(where_V, logits_BTV, -jnp.inf), axis=-1
  )
  return of(inside_V) - of(~inside_V)


@jax.jit
def _doses(
  lm, sae: SAE, feature: jax.Array, control_R: jax.Array, value_M: jax.Array
) -> Pins:
  """A feature at M values, and its controls: P = (1 + R) M pins of K = 1.

  A control is the same change along another feature's decoder row, brought to
  the same norm.
  """
  own = pins(sae, feature[None], jnp.zeros(1, jnp.float32))
  rows_RA = sae.W_dec_FA[control_R]
  norm = lambda x_RA: jnp.linalg.norm(x_RA, axis=1, keepdims=True)
  rows_RA = rows_RA * (norm(own.W_dec_KA) / norm(rows_RA))
  rows_RA = jnp.concatenate([own.W_dec_KA, rows_RA])
  shape = len(rows_RA), len(value_M)
  many = lambda x: jnp.broadcast_to(x, (*shape, *x.shape))
  found = jax.tree.map(many, own).replace(
    W_dec_KA=jnp.broadcast_to(
      rows_RA[:, None, None], (*shape, 1, rows_RA.shape[1])
    ),
    value_K=jnp.broadcast_to(value_M[:, None], (*shape, 1)),
  )
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)


@jax.jit
def _odds(lm, doses: Pins, tokens_CT: jax.Array, set_k: jax.Array):
  """The mean log-odds of each context: unpinned [C], and by dose [P, C]."""

  def of(patched):
    return log_odds(lm(tokens_CT, patched)[0], set_k).mean(1)

  pinned = lambda own: of(functools.partial(patch, own))
  return of(None), jax.lax.map(pinned, doses)


@jax.jit
def _top(lm, sae: SAE, feature_X: jax.Array) -> jax.Array:
  """The tokens that features raise most by their logit weights, [X, k]."""
  return jax.lax.top_k(lm.logit_weights(sae.W_dec_FA[feature_X]), _TOP)[1]


def dose_response(
  lm,
  sae: SAE,
  feature_X: Sequence[int],
  max_F: np.ndarray,
  live_F: np.ndarray,
  tokens_CT: np.ndarray,
  prompt_BT: np.ndarray,
  sample: Callable,
  multiple_M: Sequence[float],
  *,
  length: int = 64,
  predicates: Mapping[str, np.ndarray | Callable] | None = None,
  controls: int = 4,
  temperature: float = 1.0,
  seed: int = 0,
  progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict:
  """What features do as they are pinned to multiples of their maximum.

  The control of a dose: at each position the change that the dose makes, of the
  same sign and norm, along the decoder row of a random live feature instead.

  A feature's doses and controls are one call on the device: (1 + controls)
  multiples B rows are continued at once.

  Args:
    lm: the transformer.
    sae: a dictionary of it.
    feature_X: the features.
    max_F: every feature's maximum.
    live_F: whether a feature may be a control.
    tokens_CT: contexts at whose positions the odds of the next token are taken.
    prompt_BT: what is continued, a row each time.
    sample: `transformer.sample.sample`.
    multiple_M: the doses.
    length: tokens by which each is continued.
    predicates: by name, what may hold for a token: bool_V over the vocabulary,
      or a function of tokens_BT, prompts included, to bool_BT.
    controls: R, for each feature.
    temperature: of the sampling.
    seed: of the controls and of the sampling.
    progress: told of features done and features in all.

  Returns:
    `feature_X`, `max_X`, `multiple_M`, `control_XR`, `top_ids_Xk`, and
    `log_odds` and `share`, by predicate: of the next token being one of the
    k = 10 whose logits the feature raises most, log p - log(1 - p), the mean
    over positions; and the share of the tokens drawn for which the predicate
    holds. Each is a dict of `pinned` [X, M], `control` [X, M] and `unpinned`
    ([X] and []), and each of these of `mean`, its standard error `se` (NaN of
    one) and `n`, what it is a mean of: contexts, or rows of the prompt; of a
    control its features.

  Raises:
    UserError: a feature never fired, or there are too few live ones.
  """
  predicates = predicates or {}
  values = np.asarray(multiple_M, np.float32)
  R, M, B = controls, len(values), len(prompt_BT)
  key = jax.random.key(seed)
  top_ids_Xk = np.asarray(_top(lm, sae, jnp.asarray(feature_X, jnp.int32)))
  control_XR, odds, shares = [], [], {name: [] for name in predicates}
  draw = functools.partial(sample, length=length, temperature=temperature)

  def held(tokens_BT) -> dict[str, np.ndarray]:
    """The share of each row's new tokens, [rows], by predicate."""
    tokens_BT = fetch(tokens_BT)
    on = lambda p: p(tokens_BT) if callable(p) else np.asarray(p)[tokens_BT]
    new = slice(prompt_BT.shape[1], None)
    return {n: on(p)[:, new].mean(1) for n, p in predicates.items()}

  plain = {}
  if predicates:
    plain = held(draw(lm, jnp.asarray(np.tile(prompt_BT, (M, 1))), key))
  for x, feature in enumerate(feature_X):
    if not max_F[feature] > 0:
      raise UserError(f'steering: feature {feature} never fired: no maximum.')
    others = np.setdiff1d(np.flatnonzero(live_F), [feature])
    if len(others) < R:
      raise UserError(
        f'steering: {R} controls are wanted for feature {feature}, and only '
        f'{len(others)} other features are live.'
      )
    order = np.random.default_rng((seed, int(feature)))
    control_XR.append(order.choice(others, R, replace=False))
    doses = _doses(
      lm,
      sae,
      jnp.asarray(feature, jnp.int32),
      jnp.asarray(control_XR[-1], jnp.int32),
      jnp.asarray(values * max_F[feature], sae.b_enc_F.dtype),
    )
    odds.append(fetch(_odds(lm, doses, tokens_CT, top_ids_Xk[x])))
    if predicates:
      tokens = draw(
        lm,
        jnp.asarray(np.tile(prompt_BT, ((1 + R) * M, 1))),
        jax.random.fold_in(key, feature),
        patch=patch_each,
        patch_args=jax.tree.map(lambda a: jnp.repeat(a, B, axis=0), doses),
      )
      for name, share in held(tokens).items():
        shares[name].append(share.reshape(1 + R, M, B))
    progress(x + 1, len(feature_X))

  def response(unpinned, by_dose_XRMn) -> dict:
    by_dose_XRMn = np.asarray(by_dose_XRMn, np.float64)
    control_XRM = by_dose_XRMn[:, 1:].mean(-1)
    return {
      'pinned': _estimate(by_dose_XRMn[:, 0]),
      'control': _estimate(np.moveaxis(control_XRM, 1, -1)),
      'unpinned': _estimate(np.asarray(unpinned, np.float64)),
    }

  return {
    'feature_X': np.asarray(feature_X),
    'max_X': np.asarray(max_F)[np.asarray(feature_X)],
    'multiple_M': np.asarray(multiple_M, np.float64),
    'control_XR': np.stack(control_XR),
    'top_ids_Xk': top_ids_Xk,
    'log_odds': response(
      [unpinned for unpinned, _ in odds],
      [x_PC.reshape(1 + R, M, -1) for _, x_PC in odds],
    ),
    'share': {name: response(plain[name], shares[name]) for name in predicates},
  }


def _estimate(x: np.ndarray) -> dict:
  """Mean and standard error over the last axis."""
  n = x.shape[-1]
  se = x.std(-1, ddof=1) / n**0.5 if n > 1 else np.full(x.shape[:-1], np.nan)
  return {'mean': x.mean(-1), 'se': se, 'n': n}
