"""An artificial language with known features, and measures of monosemanticity.

Every context has a topic, named by its first token, and continues with words.
Each topic has its own permutation that maps a word to its successor. So a
transformer has to know the pair of topic and word. Pairs exclude each other,
and there are more of them than neurons, as in the paper's theory of
superposition.

Shapes here: K topics, M words, P = K * M pairs, J units (neurons, or features
of a dictionary), N tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monosem_jax.config.settings import Topics

# Token 0 is a separator, which does not occur in contexts.
_FIRST_TOPIC = 1
# A unit fires at this share of its largest activation or more (our choice).
_FIRES = 0.1


def vocab_size(c: Topics) -> int:
  """V: the separator, the topics and the words."""
  return _FIRST_TOPIC + c.topics + c.words


def successors(c: Topics, seed: int) -> np.ndarray:
  """The successor of each word in each topic: next_KM.

  Each topic has a permutation, so that all pairs are equally likely.
  """
  rng = np.random.default_rng([seed, 0])
  return np.stack([rng.permutation(c.words) for _ in range(c.topics)])


def draw(
  c: Topics, next_KM: np.ndarray, contexts: int, rng: np.random.Generator
) -> np.ndarray:
  """Contexts of the language: tokens_BT, int32.

  A context starts with its topic and a random word. Each further word is the
  successor of the word before, or with probability `noise` a random word.
  """
  tokens_BT = np.empty((contexts, c.context), np.int32)
  topic_B = rng.integers(c.topics, size=contexts)
  word_B = rng.integers(c.words, size=contexts)
  tokens_BT[:, 0] = _FIRST_TOPIC + topic_B
  for t in range(1, c.context):
    tokens_BT[:, t] = _FIRST_TOPIC + c.topics + word_B
    any_B = rng.integers(c.words, size=contexts)
    noise_B = rng.random(contexts) < c.noise
    word_B = np.where(noise_B, any_B, next_KM[topic_B, word_B])
  return tokens_BT


def pairs(c: Topics, tokens_BT: np.ndarray) -> np.ndarray:
  """The pair at each word except the last, topic * M + word: [B, T - 2]."""
  word_BT = tokens_BT[:, 1:-1] - _FIRST_TOPIC - c.topics
  return (tokens_BT[:, :1] - _FIRST_TOPIC) * c.words + word_BT


def entropy(c: Topics) -> float:
  """The lowest possible loss at these words, nats per token."""
  others = c.noise / c.words
  p_M = np.array([1 - c.noise + others] + [others] * (c.words - 1))
  return float(-(p_M * np.log(np.where(p_M > 0, p_M, 1))).sum())


def kept(c: Topics, loss: float, free: float) -> float:
  """The share of what a transformer has learned that a loss preserves.

  What it has learned is the difference between ln M, the loss of a uniform
  prediction, and its own loss `free`.
  """
  chance = np.log(c.words)
  return float((chance - loss) / (chance - free))


def choose(c: Topics, rows: Sequence[Mapping[str, Any]]) -> int | None:
  """Chooses a method's penalty, and returns its index among the rows.

  Among penalties that preserve enough of what was learned (`c.kept`), it is the
  one whose units have the largest lead in purity over their shuffled control.
  Every method uses the same rule.

  Args:
    c: the settings.
    rows: `purity_lead` and `kept` of each penalty, measured on a separate text.

  Returns:
    None if no penalty preserves enough, or if none has live units.
  """
  lead = [
    row['purity_lead']
    if row['purity_lead'] is not None and row['kept'] >= c.kept
    else -np.inf
    for row in rows
  ]
  best = int(np.argmax(lead))
  return best if np.isfinite(lead[best]) else None


def purity(next_KM: np.ndarray, acts_PJ: np.ndarray) -> np.ndarray:
  """How much of each unit's activation lies on one planted feature, 0..1.

  It is the share of a unit's activation on all pairs that lies on the pairs of
  a single topic, word or successor, whichever has most. A unit may represent
  any of these kinds; a unit for a single pair also has purity 1. Units that
  never fire are NaN.
  """
  K, M = next_KM.shape
  acts_KMJ = acts_PJ.reshape(K, M, -1)
  of_next_J = [acts_PJ[next_KM.ravel() == m].sum(0) for m in range(M)]
  most_J = np.stack(
    [acts_KMJ.sum(1).max(0), acts_KMJ.sum(0).max(0), np.max(of_next_J, 0)]
  ).max(0)
  total_J = acts_PJ.sum(0)
  return np.where(
    total_J > 0, most_J / np.where(total_J > 0, total_J, 1), np.nan
  )


def measure(
  next_KM: np.ndarray,
  pair_N: np.ndarray,
  acts_NJ: np.ndarray,
  effect_J: np.ndarray,
  seed: int,
) -> dict[str, np.ndarray]:
  """Measures what units fire for, in the same way for every method.

  A unit fires at a tenth of its largest activation or more. It is live if its
  largest activation moves a logit by a tenth of a nat or more. Only live units
  count. Both rules are our choices.

  Args:
    next_KM: the language.
    pair_N: the pair at each token; other tokens are left out.
    acts_NJ: activations, not negative.
    effect_J: change of the most affected logit by an activation of 1.
    seed: random seed of the control.

  Returns:
    A dictionary of

    live_J: whether each unit is live.
    purity_J: purity of each unit; NaN if it is not live.
    shuffled_J: purity after each unit's mean activations are shuffled over
      pairs, which is due to rare firing alone.
    pairs_J: number of pairs whose mean activation is a tenth of the unit's
      largest or more; NaN if it is not live.
    active: mean number of units that fire at a token.
    silent: share of tokens at which no unit fires.
    acts_PJ: mean activation of each unit on each pair.
  """
  of_pair_PN = np.arange(next_KM.size)[:, None] == pair_N
  count_P1 = np.maximum(of_pair_PN.sum(1, keepdims=True), 1)
  acts_PJ = of_pair_PN.astype(acts_NJ.dtype) @ acts_NJ / count_P1
  greatest_J = acts_NJ.max(0)
  live_J = greatest_J * effect_J >= 0.1
  fires_NJ = live_J & (acts_NJ >= _FIRES * greatest_J)
  only_live = lambda x_J: np.where(live_J, x_J, np.nan)
  rng = np.random.default_rng([seed, 1])
  shuffled_PJ = rng.permuted(acts_PJ, axis=0)
  return {
    'live_J': live_J,
    'purity_J': only_live(purity(next_KM, acts_PJ)),
    'shuffled_J': only_live(purity(next_KM, shuffled_PJ)),
    'pairs_J': only_live((acts_PJ >= _FIRES * acts_PJ.max(0)).sum(0)),
    'active': fires_NJ.sum(1).mean(),
    'silent': (~fires_NJ.any(1)).mean(),
    'acts_PJ': acts_PJ,
  }
