"""Features that act as finite-state automata (paper, finite-state automata).

Feature i leads to feature j if it raises tokens on which j fires. The paper
found such systems by hand; this method is ours. This module predicts edges
between features. `machines` searches for cycles and chains among them,
`significance` tests them against chance, and `following` and `transitions`
measure them in held-out text and with features pinned.
"""

from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis.results.arrays import Successors
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.features.moments import adding


def make_counts(activations: Callable, vocab_size: int) -> Callable:
  """Compiles a step for `moments.collect` that counts firings by token.

  It sums (tokens_V, fired_VX): how often each token occurs, and on how many of
  these occurrences each feature fires. It needs 8 V X bytes on the device and
  24 V X on the host, so large sets of features take a pass for each block of X.

  Args:
    activations: `activations(args, batch) -> (f_NX, token_N)`.
    vocab_size: V.
  """

  def of(args, batch):
    f_NX, token_N = activations(args, batch)
    none_VX = jnp.zeros((vocab_size, f_NX.shape[1]), jnp.int32)
    fired_VX = none_VX.at[token_N].add((f_NX > 0).astype(jnp.int32))
    return jnp.bincount(token_N, length=vocab_size), fired_VX

  return adding(of)


def shares(
  tokens_V: np.ndarray, fired_VX: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """P(feature fires | token), smoothed, and P(feature fires).

  Each token counts as seen once more, with the feature's overall density as
  the firing on it. A token that was never seen therefore gets that density.

  Returns:
    share_VX, P(feature fires | token), and base_X, the share of all tokens on
    which each feature fires; float32.
  """
  base_X = np.asarray(fired_VX.sum(0) / tokens_V.sum(), np.float32)
  share_VX = (fired_VX + base_X) / (tokens_V[:, None] + 1)
  return np.asarray(share_VX, np.float32), base_X


def _gains(v_RV, share_VX, base_X, dot: Dot, temperature: float) -> jax.Array:
  width_R1 = v_RV.std(1, keepdims=True)
  width_R1 = jnp.where(width_R1 > 0, width_R1, 1)
  p_RV = jax.nn.softmax(v_RV / (temperature * width_R1))
  return dot('rv,vx->rx', p_RV, share_VX) - base_X


def gains(
  logit_weights: Callable[[jax.Array], jax.Array],
  rows_SA: np.ndarray,
  share_VX: np.ndarray,
  base_X: np.ndarray,
  dot: Dot,
  temperature: float = 0.5,
  block: int = 256,
) -> np.ndarray:
  """The gain of every edge from S sources to X targets, see `predict`.

  Args:
    logit_weights, dot, temperature, block: as for `predict`.
    rows_SA: decoder rows of the sources.
    share_VX, base_X: the result of `shares` for the targets.

  Returns:
    gain_SX, float32, on the host.
  """
  of = jax.jit(
    lambda rows_RA: _gains(
      logit_weights(rows_RA), share_VX, base_X, dot, temperature
    )
  )
  parts = [
    np.asarray(of(rows_SA[i : i + block]))
    for i in range(0, len(rows_SA), block)
  ]
  return np.concatenate([np.zeros((0, base_X.size), np.float32), *parts])


def predict(
  logit_weights: Callable[[jax.Array], jax.Array],
  W_dec_FA: jax.Array,
  dot: Dot,
  live_F: np.ndarray,
  counts: Iterable[tuple[np.ndarray, np.ndarray]],
  kept: int = 16,
  temperature: float = 0.5,
  block: int = 256,
) -> Successors:
  """Edge i -> j: sum over tokens of softmax(v_i / temperature) P(j fires | t).

  Here v_i are the logit weights of feature i, and P is that of `shares`.

  Args:
    logit_weights: `logit_weights(rows_FA) -> v_FV`.
    W_dec_FA: the decoder.
    dot: the matrix product.
    live_F: the features that may be sources and targets, bool.
    counts: tokens_V and fired_VX by blocks of features, in order.
    kept: maximum number of edges per source.
    temperature: softmax temperature for the next token, in standard deviations
      of v_i over the vocabulary, which makes it independent of the scales of
      activations and logits. At 0.5, one token 4 standard deviations above the
      mean weighs as much as 400 tokens 1 standard deviation above it.
    block: number of sources at a time; uses memory for block x (V + X) numbers
      in addition to the counts.

  Returns:
    The edges with the largest gain. The gain is the edge's probability minus
    the share of all tokens on which the target fires, so that a target that
    fires everywhere gains nothing.
  """

  @jax.jit
  def strongest(rows_RA, share_VX, base_X, live_X):
    v_RV = logit_weights(rows_RA)
    gain_RX = _gains(v_RV, share_VX, base_X, dot, temperature)
    return jax.lax.top_k(jnp.where(live_X, gain_RX, 0), min(kept, base_X.size))

  source_S = np.flatnonzero(live_F)
  gain_SK = np.zeros((len(source_S), kept), np.float32)
  target_SK = np.zeros((len(source_S), kept), np.int32)
  base_F = np.zeros(len(live_F), np.float32)
  start = 0
  for tokens_V, fired_VX in counts:
    share_VX, base_X = shares(tokens_V, fired_VX)
    live_X = live_F[start : start + base_X.size] & (base_X > 0)
    for i in range(0, len(source_S), block):
      rows = slice(i, i + block)
      gain, index = meshes.fetch(
        strongest(W_dec_FA[source_S[rows]], share_VX, base_X, live_X)
      )
      gain = np.concatenate([gain_SK[rows], gain], 1)
      target = np.concatenate([target_SK[rows], index + start], 1)
      best = np.argsort(-gain, axis=1, kind='stable')[:, :kept]
      gain_SK[rows] = np.take_along_axis(gain, best, 1)
      target_SK[rows] = np.take_along_axis(target, best, 1)
    base_F[start : start + base_X.size] = base_X
    start += base_X.size
  s_M, k_M = np.nonzero(gain_SK > 0)
  gain_M, target_M = gain_SK[s_M, k_M], target_SK[s_M, k_M]
  lift_M = 1 + gain_M / base_F[target_M]
  return Successors(source_S[s_M], target_M, gain_M, lift_M)
