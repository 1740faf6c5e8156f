"""A language of known features, and what the units of a model tell apart.

Every context is of one topic, which its first token names; words follow it, and
after a word the topic has a successor of its own. A transformer must know the
topic and the word together, a pair, and pairs exclude one another: features as
in the paper's theory of superposition, more of them than neurons.

Shapes here: K topics, M words, P = K * M pairs, J units (neurons, or features
of a dictionary), N tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monosem_jax.config.settings import Topics

# Token 0 is a separator that no context holds.
_FIRST_TOPIC = 1
# A unit fires from this share of its greatest activation on (our choice).
_FIRES = 0.1


def vocab_size(c: Topics) -> int:
  """V: a separator, the topics, the words."""
  return _FIRST_TOPIC + c.topics + c.words


def successors(c: Topics, seed: int) -> np.ndarray:
  """Which word follows which: next_KM, for each topic a permutation, so that
  all pairs are equally likely."""
  rng = np.random.default_rng([seed, 0])
  return np.stack([rng.permutation(c.words) for _ in range(c.topics)])


def draw(
  c: Topics, next_KM: np.ndarray, contexts: int, rng: np.random.Generator
) -> np.ndarray:
  """Contexts of the language: tokens_BT, int32.

  A topic, a word, and from then on its topic's successor of the word before; of
  these, the share `noise` is drawn from all words instead.
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
  """At each word that another follows, topic * M + word: [B, T - 2]."""
  word_BT = tokens_BT[:, 1:-1] - _FIRST_TOPIC - c.topics
  return (tokens_BT[:, :1] - _FIRST_TOPIC) * c.words + word_BT


def entropy(c: Topics) -> float:
  """The loss at these words of who knows the language, in nats."""
  others = c.noise / c.words
  p_M = np.array([1 - c.noise + others] + [others] * (c.words - 1))
  return float(-(p_M * np.log(np.where(p_M > 0, p_M, 1))).sum())


def kept(c: Topics, loss: float, free: float) -> float:
  """Which share of what a transformer has learned is there at a loss.

  Learned is what its own loss, `free`, lies below ln M, that of who takes all
  words for equally likely.
  """
  chance = np.log(c.words)
  return float((chance - loss) / (chance - free))


def choose(c: Topics, rows: Sequence[Mapping[str, Any]]) -> int | None:
  """The penalty of a method that counts: its place among the rows of all.

  The one whose units are the purest, above what their rare firing alone gives
  them, of those that keep enough of what was learned (`c.kept`); the same rule
  for every method. None where all lose more, or have no live unit.

  Args:
    c: the settings.
    rows: `purity_lead` and `kept`, on text of its own.
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
  """How far each unit is of one planted feature: in 0..1; of zeros NaN.

  Of its activations on all pairs, the share that lies on those of one topic, of
  one word, or of one successor, whichever has most. All three count, so that a
  unit is not held to features of one kind; one for a single pair has 1, too.
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
  """What fires for what; nothing in it knows of a penalty.

  A token is one at which `pairs` is defined. A unit fires at a tenth of its
  greatest activation or more, and is live if that moves a logit by a tenth of a
  nat; others count for nothing (our choices).

  Args:
    next_KM: the language.
    pair_N: the pair at each token.
    acts_NJ: activations, none below 0.
    effect_J: how far an activation of 1 moves the logit that it moves most.
    seed: of the control.

  Returns:
    live_J; of live units (others NaN) purity_J; shuffled_J, the same with its
    mean activations dealt out to the pairs at random: what rare firing alone
    does for purity; pairs_J, for how many pairs its mean activation is a tenth
    of the greatest or more; active, units that fire at a token, mean; silent,
    the share of the tokens at which none fires; acts_PJ, the means.
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
