"""Features that work together as finite-state automata (paper, of that name).

Feature i leads to j if it makes tokens likely on which j fires. The paper found
such systems by hand; the way there is ours: `predict` edges, `search` for
cycles and chains; `transitions` measures them, and walks them in sampled text.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.features.moments import adding
from monosem_jax.precision import Dot


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


def predict(
  logit_weights: Callable[[jax.Array], jax.Array],
  W_dec_FA: jax.Array,
  dot: Dot,
  live_F: np.ndarray,
  counts: Iterable[tuple[np.ndarray, np.ndarray]],
  kept: int = 16,
  temperature: float = 0.5,
  block: int = 256,
) -> dict[str, np.ndarray]:
  """Edge i -> j: sum over tokens of softmax(v_i / temperature) P(j fires | t).

  P is taken as if each token had been seen once more, j firing on it as often
  as on any: of a token that was never seen, nothing is known.

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
    The edges of the largest gain, sources rising: source_M, target_M; gain_M,
    the edge minus the share of all tokens on which the target fires, so that
    one that fires everywhere wins nothing, above 0; and lift_M, the edge in
    multiples of that share.
  """

  @jax.jit
  def strongest(rows_RA, share_VX, base_X, live_X):
    v_RV = logit_weights(rows_RA)
    width_R1 = v_RV.std(1, keepdims=True)
    width_R1 = jnp.where(width_R1 > 0, width_R1, 1)
    p_RV = jax.nn.softmax(v_RV / (temperature * width_R1))
    gain_RX = dot('rv,vx->rx', p_RV, share_VX) - base_X
    return jax.lax.top_k(jnp.where(live_X, gain_RX, 0), min(kept, base_X.size))

  source_S = np.flatnonzero(live_F)
  gain_SK = np.zeros((len(source_S), kept), np.float32)
  target_SK = np.zeros((len(source_S), kept), np.int32)
  base_F = np.zeros(len(live_F), np.float32)
  start = 0
  for tokens_V, fired_VX in counts:
    base_X = np.float32(fired_VX.sum(0) / tokens_V.sum())
    share_VX = np.float32((fired_VX + base_X) / (tokens_V[:, None] + 1))
    live_X = live_F[start : start + base_X.size] & (base_X > 0)
    for i in range(0, len(source_S), block):
      rows = slice(i, i + block)
      gain, index = jax.device_get(
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
  names = 'source_M', 'target_M', 'gain_M', 'lift_M'
  edges = source_S[s_M], target_M, gain_M, lift_M
  return dict(zip(names, edges, strict=True))


@dataclasses.dataclass(frozen=True)
class Machine:
  """Features that lead from one to the next.

  Attributes:
    kind: self-loop | two-cycle | cycle | chain.
    nodes: the features; of a cycle, from its lowest number on.
    weights: of the edges from each to the next, a cycle's last one back.
  """

  kind: str
  nodes: tuple[int, ...]
  weights: tuple[float, ...]


def search(
  source_M: Sequence[int],
  target_M: Sequence[int],
  weight_M: Sequence[float],
  threshold: float,
  longest: int = 5,
  longest_chain: int = 20,
  looks: int = 20_000_000,
) -> tuple[list[Machine], float]:
  """Finds the machines in a sparse graph.

  Edges are put in from the strongest down, and each is looked at when it is the
  weakest. Then it closes cycles, which are found once; and it is the seed of a
  chain, which grows along the strongest edge at its end, then at its head, to
  features that it does not hold. A chain that closes is a cycle, too; a part of
  a cycle is no chain.

  Args:
    source_M, target_M, weight_M: the edges, each pair once.
    threshold: what an edge has to be above; at least 0.
    longest, longest_chain: features of the cycles and chains looked for.
    looks: at edges, in all; bounds the work to some seconds.

  Returns:
    Machines by their weakest edge, then by the geometric mean, falling; and the
    weight above which all are found: the threshold, or where `looks` ran out.
  """
  edges = zip(weight_M, source_M, target_M, strict=True)
  edges = sorted((-float(w), int(i), int(j)) for w, i, j in edges)
  # Neighbours and the weights of the edges, the strongest first.
  ahead, behind = ({k: {} for e in edges for k in e[1:]} for _ in range(2))
  cycles, chains = {}, {}

  def close(path):
    nonlocal looks
    looks -= 1 + len(ahead[path[-1]])
    if path[0] in ahead[path[-1]]:
      yield path
    for j in ahead[path[-1]] if len(path) < longest and looks > 0 else ():
      if j not in path:
        yield from close((*path, j))

  def grow(path, along):
    nonlocal looks
    looks -= len(path)
    more = [j for j in along[path[-1]] if j not in path]
    if not more or len(path) >= longest_chain:
      return path
    return grow((*path, more[0]), along)

  for w, i, j in edges:
    if -w <= threshold:
      break
    ahead[i][j] = behind[j][i] = -w
    closed, path = [], (i,)
    if i != j:
      closed, path = list(close((i, j))), grow((i, j), ahead)
    if i not in ahead[path[-1]]:
      path = grow(path[::-1], behind)[::-1]
    if path[0] in ahead[path[-1]]:
      closed.append(path)
    elif len(path) > 2:
      chains[path] = None
    for path in closed:
      first = path.index(min(path))
      cycles[path[first:] + path[:first]] = None
    if looks <= 0:
      threshold = -w
      break

  arcs = {
    (path + path)[first : first + n]
    for path in cycles
    for first in range(len(path))
    for n in range(3, len(path) + 1)
  }
  found = [('chain', p, p[1:]) for p in chains if p not in arcs]
  for path in cycles:
    kind = {1: 'self-loop', 2: 'two-cycle'}.get(len(path), 'cycle')
    found.append((kind, path, path[1:] + path[:1]))
  weigh = lambda path, then: tuple(
    ahead[i][j] for i, j in zip(path, then, strict=False)
  )
  machines = [Machine(k, path, weigh(path, then)) for k, path, then in found]
  mean = lambda m: math.prod(m.weights) ** (1 / len(m.weights))
  machines.sort(key=lambda m: (-min(m.weights), -mean(m), m.nodes))
  return machines, threshold
