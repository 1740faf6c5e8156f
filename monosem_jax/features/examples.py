"""Chooses the examples of each feature, and computes their windows."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.mesh import (
  SPECS,
  constrain,
  feature_shards,
  in_place,
  per_device,
  sum_over_features,
  tokens_spec,
)
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE, encode
from monosem_jax.features.batching import by_context
from monosem_jax.features.collect import Found
from monosem_jax.features.table import BINS, INTERVALS, groups

# Number of contexts from which silent examples are drawn, for all features.
_SILENT_CONTEXTS = 256


def histograms(found: Found) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The histogram of each feature's sample, in 40 bins from 0 as published.

  Returns:
    sampled_F, the size of each sample; sample_max_F, its maximum and the right
    edge of the histogram; and histogram_FH.
  """
  F = found.fired_F.size
  sampled_F = np.bincount(found.feature_M, minlength=F)
  edge_F = np.zeros(F, np.float32)
  np.maximum.at(edge_F, found.feature_M, found.value_M)
  bin_M = found.value_M / edge_F[found.feature_M] * BINS
  bin_M = np.minimum(bin_M.astype(np.int64), BINS - 1)
  flat = np.bincount(found.feature_M * BINS + bin_M, minlength=F * BINS)
  return sampled_F, edge_F, flat.reshape(F, BINS)


def intervals(
  found: Found, edge_F: np.ndarray, per_interval: int
) -> np.ndarray:
  """The samples closest to the target of each interval.

  As in the paper, interval k has its target at (10 - k) / 10 of the sample's
  maximum, and a feature with too few samples for all intervals gets no interval
  examples.

  Returns:
    sample_FKE, indices into the sample, [F, 11, per_interval]; -1 for features
    without interval examples.
  """
  F = edge_F.size
  if not (per_interval and found.feature_M.size):
    return np.full((F, INTERVALS, per_interval), -1)
  begin_F = np.searchsorted(found.feature_M, np.arange(F))
  end_F = np.searchsorted(found.feature_M, np.arange(F), side='right')
  target_FK = edge_F[:, None] * (np.arange(INTERVALS)[::-1] / (INTERVALS - 1))
  # Samples of a feature are sorted by value, so the closest ones are adjacent
  # to the place where the target would be inserted.
  key_M = found.feature_M + found.value_M / (edge_F[found.feature_M] * 1.001)
  key_FK = (
    np.arange(F)[:, None]
    + target_FK / np.where(edge_F > 0, edge_F * 1.001, 1)[:, None]
  )
  place_FK = np.searchsorted(key_M, key_FK)
  near_FKC = place_FK[..., None] + np.arange(-per_interval, per_interval)
  inside_FKC = (near_FKC >= begin_F[:, None, None]) & (
    near_FKC < end_F[:, None, None]
  )
  near_FKC = np.clip(near_FKC, 0, found.value_M.size - 1)
  far_FKC = np.abs(found.value_M[near_FKC] - target_FK[..., None])
  far_FKC[~inside_FKC] = np.inf
  nearest = np.argsort(far_FKC, axis=-1, kind='stable')[..., :per_interval]
  sample_FKE = np.take_along_axis(near_FKC, nearest, -1)
  enough_F = end_F - begin_F >= INTERVALS * per_interval
  return np.where(enough_F[:, None, None], sample_FKE, -1)


def candidates(
  c: settings.Features,
  found: Found,
  edge_F: np.ndarray,
  n_contexts: int,
  T: int,
) -> tuple[np.ndarray, np.ndarray]:
  """The contexts and positions of candidate examples.

  Returns:
    context_FX, -1 for missing candidates, and position_FX. The candidates are
    2 x `top` top contexts, whose position is -1, which stands for the position
    of the maximum; the interval examples; and 2 x `bottom` random tokens, from
    which silent ones will be chosen.
  """
  F = edge_F.size
  rng = np.random.default_rng(c.seed)
  top_context = np.where(found.top_FE > 0, found.top_context_FE, -1)
  sample = intervals(found, edge_F, c.per_interval).reshape(F, -1)
  none = sample < 0
  if found.feature_M.size:
    mid_context = np.where(none, -1, found.context_M[sample])
    mid_position = np.where(none, -1, found.position_M[sample])
  else:
    mid_context = mid_position = sample
  pool = rng.choice(
    n_contexts, min(_SILENT_CONTEXTS, n_contexts), replace=False
  )
  low_context = rng.choice(pool, (F, 2 * c.bottom))
  low_position = rng.integers(T, size=(F, 2 * c.bottom))
  return (
    np.concatenate([top_context, mid_context, low_context], 1),
    np.concatenate(
      [np.full_like(top_context, -1), mid_position, low_position], 1
    ),
  )


@functools.cache
def make_windows(
  forward: Callable[..., jax.Array], dot: Dot, before: int, after: int
) -> Callable:
  """Compiles `windows(lm, sae, W_enc_FA, tokens_BT, feature_Bn, position_Bn)`.

  Row b is a context with n features, each with the position at which its window
  is centred; -1 stands for the position of the feature's maximum. W_enc_FA is
  the transposed encoder, whose rows can be gathered quickly.

  Returns:
    position_Bn, with maxima resolved, and acts_BnW. Entries beyond the ends of
    the context are 0.
  """

  @jax.jit
  def windows(lm, sae: SAE, W_enc_FA, tokens_BT, feature_Bn, position_Bn):
    at = tokens_spec(len(tokens_BT))
    acts_BTA = forward(lm, constrain(tokens_BT, at)).astype(sae.b_enc_F.dtype)

    def of_row(x_TA, W_nA, feature_n, position_n):
      own = dataclasses.replace(
        sae, W_enc_AF=W_nA.T, b_enc_F=sae.b_enc_F[feature_n]
      )
      f_Tn = encode(own, x_TA, dot)
      at_n = jnp.where(position_n < 0, f_Tn.argmax(0), position_n)
      padded_Tn = jnp.pad(f_Tn, ((before, after), (0, 0)))
      w_nW = at_n[:, None] + jnp.arange(before + 1 + after)
      return at_n, jnp.take_along_axis(padded_Tn.T, w_nW, 1)

    W_BnA = _rows_of(W_enc_FA, feature_Bn)
    found = jax.vmap(of_row)(acts_BTA, W_BnA, feature_Bn, position_Bn)
    return in_place(found)

  return windows


def _rows_of(x_FA: jax.Array, feature_Bn: jax.Array) -> jax.Array:
  """x_FA[feature_Bn], without sending all of x_FA to every device."""
  if feature_shards() == 1:
    return x_FA[feature_Bn]

  def of_device(x_fA, number_f, feature_Bn):
    at_Bn = feature_Bn - number_f[0]
    mine_Bn = (at_Bn >= 0) & (at_Bn < number_f.size)
    x_BnA = x_fA[jnp.where(mine_Bn, at_Bn, 0)]
    return sum_over_features(jnp.where(mine_Bn[..., None], x_BnA, 0))

  number_F = jnp.arange(len(x_FA), dtype=jnp.int32)
  return per_device(
    of_device,
    (SPECS.W_dec_FA, SPECS.fired_F, SPECS.replicated),
    SPECS.replicated,
  )(x_FA, number_F, feature_Bn)


def look(
  c: settings.Features,
  forward: Callable[..., jax.Array],
  dot: Dot,
  lm,
  sae: SAE,
  fetch: Callable[[np.ndarray], np.ndarray],
  context_FX: np.ndarray,
  position_FX: np.ndarray,
  progress: Callable[[int, int], None],
) -> dict[str, np.ndarray]:
  """Computes the windows of all candidates, context by context.

  Args:
    c: settings.
    forward, dot, lm, sae: as for `collect`.
    fetch: `fetch(context_B) -> tokens_BT`.
    context_FX, position_FX: see `candidates`.
    progress: called with the rows done and the total number of rows.

  Returns:
    `position` [F, X]; `acts` float16 [F, X, W]; `tokens` uint16 [F, X, W]; and
    `start` and `stop` uint8 [F, X], the valid range of each window.
  """
  F, X = context_FX.shape
  W = c.before + 1 + c.after
  windows = make_windows(forward, dot, c.before, c.after)
  transpose = lambda x: constrain(x.T, SPECS.W_dec_FA)
  W_enc_FA = jax.jit(transpose)(sae.W_enc_AF)
  out = {
    'position': np.zeros((F * X,), np.int32),
    'acts': np.zeros((F * X, W), np.float16),
    'tokens': np.zeros((F * X, W), np.uint16),
    'start': np.zeros((F * X,), np.uint8),
    'stop': np.zeros((F * X,), np.uint8),
  }
  waiting = None

  def store(example_Bn, valid_Bn, tokens_BT, result):
    position_Bn, acts_BnW = meshes.fetch(result)
    which = example_Bn[valid_Bn]
    position = position_Bn[valid_Bn]
    T = tokens_BT.shape[1]
    padded_BT = np.pad(tokens_BT, ((0, 0), (c.before, c.after)))
    row = np.nonzero(valid_Bn)[0]
    w = position[:, None] + np.arange(W)
    out['position'][which] = position
    out['acts'][which] = acts_BnW[valid_Bn]
    out['tokens'][which] = padded_BT[row[:, None], w]
    out['start'][which] = np.maximum(c.before - position, 0)
    out['stop'][which] = np.minimum(W, T - position + c.before)

  context_M = context_FX.reshape(-1)
  for example_Bn, valid_Bn, done, total in by_context(
    context_M, context_M >= 0, c.batch_size
  ):
    tokens_BT = fetch(context_M[example_Bn[:, 0]])
    result = windows(
      lm,
      sae,
      W_enc_FA,
      tokens_BT,
      (example_Bn // X).astype(np.int32),
      position_FX.reshape(-1)[example_Bn].astype(np.int32),
    )
    if waiting is not None:
      store(*waiting)
    waiting = example_Bn, valid_Bn, tokens_BT, result
    progress(done, total)
  if waiting is not None:
    store(*waiting)
  return {name: x.reshape(F, X, *x.shape[1:]) for name, x in out.items()}


def choose(
  c: settings.Features,
  seen: dict[str, np.ndarray],
  context_FX: np.ndarray,
) -> tuple[dict[str, np.ndarray], list[dict]]:
  """Chooses the examples to show from the candidates, in groups.

  Top examples have distinct texts in their windows and are ordered by
  descending activation. All interval examples are kept. Bottom examples are
  silent.

  Returns:
    The `example_*` arrays of the feature table, and its groups.
  """
  F, X = context_FX.shape
  there_FX = context_FX >= 0
  shown = groups(c.top, c.per_interval, c.bottom)
  keep_FE = np.full((F, sum(g['count'] for g in shown)), -1)
  middle = slice(2 * c.top, X - 2 * c.bottom)
  own_FX = seen['acts'][:, :, c.before]
  keep_FE[:, c.top : keep_FE.shape[1] - c.bottom] = np.where(
    there_FX[:, middle], np.arange(X)[middle], -1
  )
  for i in range(F):
    texts = set()
    fresh = []
    order = np.argsort(-own_FX[i, : 2 * c.top], kind='stable')
    for x in order[there_FX[i, order]]:
      span = slice(seen['start'][i, x], seen['stop'][i, x])
      text = seen['tokens'][i, x, span].tobytes()
      if text not in texts:
        texts.add(text)
        fresh.append(x)
    fresh = fresh[: c.top]
    keep_FE[i, : len(fresh)] = fresh
    silent = np.flatnonzero(own_FX[i, middle.stop :] == 0)[: c.bottom]
    if c.bottom:
      keep_FE[i, keep_FE.shape[1] - c.bottom :][: silent.size] = (
        middle.stop + silent
      )
  none_FE = keep_FE < 0
  at_FE = np.maximum(keep_FE, 0)
  pick = lambda x: np.take_along_axis(
    x, at_FE.reshape(at_FE.shape + (1,) * (x.ndim - 2)), 1
  )
  stop_FE = np.where(none_FE, 0, pick(seen['stop'])).astype(np.uint8)
  return {
    'example_tokens_FEW': pick(seen['tokens']),
    'example_acts_FEW': pick(seen['acts']),
    'example_start_FE': np.where(none_FE, 0, pick(seen['start'])).astype(
      np.uint8
    ),
    'example_stop_FE': stop_FE,
    'example_context_FE': pick(context_FX).astype(np.int32),
    'example_position_FE': pick(seen['position']).astype(np.uint16),
  }, shown
