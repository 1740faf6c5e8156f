"""Features that work together as finite-state automata (paper, of that name).

Feature i leads to j if it makes tokens likely on which j fires. The paper found
such systems by hand; the way there is ours. Edges are predicted here;
`machines` searches for cycles and chains among them; `significance` says which
of these chance would make, too; `following` and `transitions` measure them in
held-out text and where a feature is pinned.
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
  """Compiles a step for `moments.collect`: on which tokens features fire.

  It sums up (tokens_V, fired_VX): how often each token occurs, and on how many
  of these each feature fires. 8 V X bytes on the device, 24 V X on the host:
  large sets of features are looked at by blocks of X, a pass for each.

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
  """P(feature fires | token), and the share of all tokens on which it fires.

  As if each token had been seen once more, the feature firing on it as often as
  on any: of a token that was never seen, nothing is known.

  Returns:
    share_VX and base_X, float32.
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
  """The gain of every edge from S sources to X targets, as `predict` has it.

  Args:
    logit_weights, dot, temperature, block: see there.
    rows_SA: the sources' rows of the decoder.
    share_VX, base_X: the targets', see `shares`.

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

  P is that of `shares`.

  Args:
    logit_weights: `logit_weights(rows_FA) -> v_FV`, the effect on the logits.
    W_dec_FA: the decoder.
    dot: the matrix product.
    live_F: the features that take part, bool.
    counts: tokens_V and fired_VX of all features in their order, by blocks.
    kept: edges of a feature, at most.
    temperature: in standard deviations of v_i over the vocabulary, so that the
      scales of activations and logits do not matter. At 0.5, a token 4 of them
      above the mean weighs as much as 400 tokens 1 above it.
    block: sources at a time; block x (V + X) numbers are held beside counts.

  Returns:
    The edges of the largest gain: that of an edge is its probability minus the
    share of all tokens on which the target fires, so that one that fires
    everywhere wins nothing.
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
