"""Automata planted in a language are found, measured and walked."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from monosem_jax.analysis import automata, machines, transitions
from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  init as dictionary_init,
  sae as sae_lib,
  state as states,
  train as dictionary_train,
)
from monosem_jax.features import moments
from monosem_jax.transformer import train as lm_train
from monosem_jax.transformer.sample import choose

DOT = Dot(jnp.dtype(jnp.float32))


def activations(args, tokens_BT):
  lm, sae = args
  _, acts_BTA = lm(tokens_BT)
  x_NA = acts_BTA.reshape(-1, acts_BTA.shape[-1])
  return sae_lib.encode(sae, x_NA, DOT), tokens_BT.reshape(-1)


# States that lead to one another; the last one's end is followed by anything.
NEXT = {0: 1, 1: 0, 2: 3, 3: 4, 4: 2, 5: 5, 6: 7, 7: 8}
STATES, WORDS, CONTEXT = 9, 4, 32
CHAIN = 6, 7, 8


def state_of(token):
  """Each state says its own words; token 0 separates documents."""
  return (token - 1) // WORDS


def language(n: int, seed: int) -> np.ndarray:
  """Texts of the states above, which now and then go over to another one."""
  rng = np.random.default_rng(seed)
  then = np.array([NEXT.get(i, -1) for i in range(STATES)])
  state, tokens = rng.integers(STATES, size=n), []
  for _ in range(CONTEXT):
    tokens.append(1 + WORDS * state + rng.integers(WORDS, size=n))
    # Half of the times to the chain, which is soon over.
    other = np.where(rng.random(n) < 0.5, CHAIN[0], rng.integers(6, size=n))
    leaves = (rng.random(n) < 0.05) | (then[state] < 0)
    state = np.where(leaves, other, then[state])
  return np.stack(tokens, 1).astype(np.int32)


@functools.cache
def planted():
  """A transformer of that language and its dictionary; counts on other text;
  and for each state the feature that fires where it is."""
  steps, batch_size, width = 300, 64, 64
  c = settings.Transformer(
    d_model=32,
    d_mlp=width,
    n_heads=2,
    precision='float32',
    batch_size=batch_size,
    steps=steps,
    lr=1e-2,
    warmup_steps=20,
  )
  tokens = language(steps * batch_size // 4, 0)
  state = lm_train.init(
    c, vocab_size=1 + STATES * WORDS, context=CONTEXT, separator=0
  )
  tokens_SBT = np.tile(tokens, (4, 1)).reshape(steps, batch_size, CONTEXT)
  state, _ = lm_train.make_chunk(c)(state, jnp.asarray(tokens_SBT))
  lm = state.model

  C = len(tokens)
  stream = settings.Stream(
    contexts_per_chunk=C,
    positions_per_context=CONTEXT,
    shuffle_groups=2,
    micro_batches=4,
    batch_size=512,
    steps=2 * C * CONTEXT // 512,
    precision='float32',
  )
  d = settings.Dictionary(
    features=12, l1=0.02, lr=3e-3, resampling=settings.Resampling(steps=())
  )
  forward = lambda lm, tokens_BT: lm(tokens_BT)[1]
  acts_NA = forward(lm, tokens[:64]).reshape(-1, width)
  start = dictionary_init.start(d, states.init(d, width), acts_NA, DOT)
  state = states.StreamState.of(jnp.int32(0), {'d': d}, {'d': start})
  chunk = dictionary_train.make_chunk(stream, {'d': d}, forward)
  context_C = np.arange(C, dtype=np.int32)
  for epoch in range(2):
    state, _ = chunk(state, lm, tokens, context_C, 0 * context_C + epoch)
  sae = state.dictionaries['d'].sae

  step = automata.make_counts(activations, 1 + STATES * WORDS)
  others = language(256, 1).reshape(4, 64, CONTEXT)
  counts = moments.collect(step, (lm, sae), others)
  tokens_V, fired_VX = counts
  own_SV = state_of(np.arange(tokens_V.size)) == np.arange(STATES)[:, None]
  # F1 of where the feature fires and where the state is.
  both_SX = own_SV @ fired_VX
  f1_SX = 2 * both_SX / ((own_SV @ tokens_V)[:, None] + fired_VX.sum(0))
  feature_S = f1_SX.argmax(1)
  assert f1_SX.max(1).min() > 0.6 and len(set(feature_S)) == STATES
  return lm, sae, counts, feature_S


def predicted():
  lm, sae, counts, feature_S = planted()
  live_F = counts[1].sum(0) > 0
  found = automata.predict(
    lm.logit_weights, sae.W_dec_FA, DOT, live_F, [counts]
  )
  return found, feature_S


def test_planted_transitions_are_recalled():
  """All 8, here: gains of 0.47 and more, no false one above 0.32."""
  found, feature_S = predicted()
  edges = zip(found.source_M, found.target_M, strict=True)
  gain = dict(zip(edges, found.gain_M, strict=True))
  strong = {
    (i, j)
    for i, j in itertools.product(range(STATES), repeat=2)
    if gain.get((feature_S[i], feature_S[j]), 0) > 0.35
  }
  true = set(NEXT.items())
  assert len(strong & true) >= 7
  assert len(strong - true) <= 1


def test_planted_machines_are_found():
  found, feature_S = predicted()
  found_there, _ = machines.search(
    found.source_M, found.target_M, found.gain_M, 0.2
  )
  state = {int(feature): s for s, feature in enumerate(feature_S)}
  named = [(m.kind, [state.get(i, -1) for i in m.nodes]) for m in found_there]
  rolled = [
    (kind, tuple(np.roll(nodes, -nodes.index(min(nodes)))))
    for kind, nodes in named
    if kind != 'chain'
  ]
  for machine in (
    ('self-loop', (5,)),
    ('two-cycle', (0, 1)),
    ('cycle', (2, 3, 4)),
  ):
    assert machine in rolled
  chains = [tuple(nodes) for kind, nodes in named if kind == 'chain']
  assert any(CHAIN[1:] == c[k : k + 2] for c in chains for k in range(len(c)))


@functools.cache
def planted_text():
  """Text of the language, and where the features of its states fire."""
  lm, sae, _, feature_S = planted()
  tokens_BT = language(512, 2)
  f_NF, _ = activations((lm, sae), jnp.asarray(tokens_BT))
  return tokens_BT, np.asarray(f_NF).reshape(512, CONTEXT, -1)[..., feature_S]


def test_pinning_and_ablation_confirm_planted_transitions():
  lm, sae, counts, feature_S = planted()
  tokens_BT, f_BTS = planted_text()
  share_VX, _ = automata.shares(*counts)
  rng = np.random.default_rng(0)
  any_B = rng.integers(8, CONTEXT, size=512).astype(np.int32)
  raised, first, lowered = 0, 0, 0
  for i, j in NEXT.items():
    fires_BT = (f_BTS[..., i] > 0) & (state_of(tokens_BT) == i)
    own_B = np.where(fires_BT.any(1), fires_BT.argmax(1), -1).astype(np.int32)

    def effect(value, at_B, i=i):
      mean_n, error_n, _ = transitions.effect(
        lm,
        sae,
        DOT,
        tokens_BT,
        at_B,
        np.int32(feature_S[i]),
        np.float32(value),
        share_VX[:, feature_S],
      )
      return np.asarray(mean_n), np.asarray(error_n)

    mean_S, error_S = effect(2 * f_BTS[..., i].max(), any_B)
    raised += mean_S[j] > 4 * error_S[j]
    first += mean_S.argmax() == j
    mean_S, error_S = effect(0, own_B)
    lowered += mean_S[j] < -2 * error_S[j]
  assert raised >= 7 and first >= 7 and lowered >= 7


def test_walks_go_round_the_planted_cycle():
  lm, sae, _, feature_S = planted()
  _, f_BTS = planted_text()
  cycle, length = [2, 3, 4], 20

  def walk(seed: int, multiple: float, pinned: bool = True):
    value_n = multiple * f_BTS.max((0, 1))[cycle]
    found = transitions.walk(
      lm,
      sae,
      DOT,
      choose,
      np.tile(feature_S[cycle], (32, 1)),
      np.tile(value_n, (32, 1)),
      np.zeros((32, 1), np.int32),
      jax.random.key(seed),
      length,
      pinned=pinned,
    )
    return [np.asarray(x) for x in found]

  tokens_BT, node_BL = walk(0, 4)
  visited = state_of(tokens_BT[:, 1:])
  assert np.isin(visited, cycle).mean() > 0.85
  follows = [NEXT.get(i) == j for i, j in zip(*both(visited), strict=True)]
  assert np.mean(follows) > 0.85
  # Round the cycle once, it is another of the state's words.
  assert (tokens_BT[:, 4:] == tokens_BT[:, 1:-3]).mean() < 0.5
  # The nodes are those that fire on the text once it is there.
  f_NF, _ = activations((lm, sae), jnp.asarray(tokens_BT))
  f_BLn = np.asarray(f_NF)[:, feature_S[cycle]].reshape(32, -1, 3)[:, 1:]
  most_BL = (f_BLn / f_BTS.max((0, 1))[cycle]).argmax(-1)
  want_BL = np.where(f_BLn.max(-1) > 0, most_BL, -1)
  np.testing.assert_array_equal(node_BL, want_BL)
  np.testing.assert_array_equal(walk(0, 4)[0], tokens_BT)
  assert np.any(walk(1, 4)[0] != tokens_BT)
  # Without pins the cycle is left sooner, which the baseline says.
  free_BT, free_BL = walk(0, 4, pinned=False)
  assert (free_BL >= 0).mean() < (node_BL >= 0).mean() - 0.1
  assert np.any(free_BT != tokens_BT)
  # Held down, they are not visited.
  assert np.isin(state_of(walk(0, -4)[0][:, 1:]), cycle).mean() < 0.3


def both(x_BL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """All pairs of neighbours in a row."""
  return x_BL[:, :-1].ravel(), x_BL[:, 1:].ravel()
