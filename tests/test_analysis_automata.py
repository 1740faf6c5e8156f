"""Automata: by hand, against plain loops, and planted ones found again."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


# Edges, predicted.


def test_counts_are_those_of_a_loop():
  rng = np.random.default_rng(0)
  f_SNX = np.maximum(rng.normal(size=(3, 40, 5)), 0).astype(np.float32)
  token_SN = rng.integers(7, size=(3, 40)).astype(np.int32)
  f_SNX[..., 3] = 0  # never fires
  f_SNX[..., 4] = token_SN == 2  # on one token only
  step = automata.make_counts(lambda _, batch: batch, 7)
  tokens_V, fired_VX = moments.collect(
    step, None, zip(f_SNX, token_SN, strict=True)
  )
  for v in range(7):
    here = token_SN == v
    assert tokens_V[v] == here.sum()
    for x in range(5):
      assert fired_VX[v, x] == (f_SNX[here][:, x] > 0).sum()


def test_edges_by_hand():
  # One standard deviation weighs 3: .45 on tokens 0 and 2, .05 on 1 and 3; the
  # second feature speaks of no token, the last one is dead.
  v_FV = 7 * jnp.array([[1, -1, 1, -1], [0, 0, 0, 0], [1, 1, -1, -1]], float)
  tokens_V = np.array([9, 4, 0, 19])
  fired_VX = np.array([[9, 9, 0], [0, 4, 0], [0, 0, 0], [7, 19, 0]])
  found = automata.predict(
    lambda rows_FA: rows_FA @ v_FV,
    jnp.eye(3),
    DOT,
    np.array([True, True, False]),
    [(tokens_V, fired_VX)],
    temperature=1 / math.log(3),
  )
  # P(0 fires | t) = (9 + .5) / 10, .5 / 5, .5 / 1, (7 + .5) / 20, its base .5.
  # All fire on no less than all tokens for feature 1; never for feature 2.
  np.testing.assert_array_equal(found.source_M, [0])
  np.testing.assert_array_equal(found.target_M, [0])
  np.testing.assert_allclose(found.gain_M, [0.17625], rtol=1e-5)
  np.testing.assert_allclose(found.lift_M, [1.3525], rtol=1e-5)


def random_counts() -> tuple[np.ndarray, np.ndarray]:
  rng = np.random.default_rng(1)
  tokens_V = rng.integers(0, 30, size=19)
  fired_VX = rng.binomial(tokens_V[:, None], rng.random((19, 11)) ** 3)
  fired_VX[:, 2] = 0  # never fires
  fired_VX[np.arange(19) != 5, 3] = 0  # on one token only
  return tokens_V, fired_VX


@pytest.mark.parametrize(('rows', 'width'), [(256, 11), (3, 4), (1, 1)])
def test_edges_by_blocks_are_those_of_the_formula(rows, width):
  rng = np.random.default_rng(2)
  W_FA, W_AV = rng.normal(size=(11, 6)), rng.normal(size=(6, 19))
  tokens_V, fired_VX = random_counts()
  live_F = np.arange(11) % 5 != 4
  found = automata.predict(
    lambda rows_FA: rows_FA @ jnp.asarray(W_AV, jnp.float32),
    jnp.asarray(W_FA, jnp.float32),
    DOT,
    live_F,
    [(tokens_V, fired_VX[:, x : x + width]) for x in range(0, 11, width)],
    kept=3,
    temperature=0.7,
    block=rows,
  )
  want = {}
  for i in np.flatnonzero(live_F):
    v_V = W_FA[i] @ W_AV
    p_V = np.exp(v_V / v_V.std() / 0.7)
    p_V /= p_V.sum()
    gains = {}
    for j in np.flatnonzero(live_F):
      base = fired_VX[:, j].sum() / tokens_V.sum()
      share_V = (fired_VX[:, j] + base) / (tokens_V + 1)
      if base > 0 and p_V @ share_V > base:
        gains[j] = p_V @ share_V - base, p_V @ share_V / base
    for j in sorted(gains, key=gains.get)[-3:]:
      want[i, j] = gains[j]
  got = zip(found.gain_M, found.lift_M, strict=True)
  pairs = zip(found.source_M, found.target_M, strict=True)
  got = dict(zip(pairs, got, strict=True))
  assert len(want) > 15 and got.keys() == want.keys()
  for pair, numbers in want.items():
    np.testing.assert_allclose(got[pair], numbers, rtol=1e-4)
  assert np.all(np.diff(found.source_M) >= 0)


def test_without_live_features_there_are_no_edges():
  tokens_V, fired_VX = random_counts()
  for live_F, fired in (
    (np.zeros(11, bool), fired_VX),
    (np.ones(11, bool), 0 * fired_VX),
  ):
    found = automata.predict(
      lambda rows_FA: jnp.tile(rows_FA[:, :1], (1, 19)),
      jnp.ones((11, 2)),
      DOT,
      live_F,
      [(tokens_V, fired)],
    )
    assert all(len(x) == 0 for x in found.columns().values())


# Edges, measured, and walks.

D, A, F, V, T = 12, 16, 20, 23, 9
SOURCES = 11, 14


@functools.cache
def random_model(sharp: float, **changes):
  """A transformer and a dictionary; sharp: one token is all but certain."""
  c = settings.Transformer(
    d_model=D, d_mlp=A, n_heads=2, precision='float32', **changes
  )
  lm = lm_train.init(c, vocab_size=V, context=T, separator=0).model
  leaves, tree = jax.tree.flatten(lm)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  leaves = [
    x + 0.3 * jax.random.normal(k, x.shape)
    for x, k in zip(leaves, keys, strict=True)
  ]
  lm = jax.tree.unflatten(tree, leaves)
  lm.W_U_DV[...] = lm.W_U_DV[...] * sharp
  sae = sae_lib.init(jax.random.key(0), A, F)
  rng = np.random.default_rng(2)
  bias_F = jnp.asarray(rng.normal(size=F) - 0.2, jnp.float32)
  return lm, sae.replace(b_enc_F=bias_F.at[7].set(-100))


def contexts(n: int) -> np.ndarray:
  return np.random.default_rng(3).integers(1, V, (n, T)).astype(np.int32)


@jax.jit
def at_end(lm, tokens_1T, last, change_A):
  """The logits behind the last token, where the activations are changed."""
  add = lambda acts_BTA: acts_BTA.at[:, last].add(change_A)
  logits_BTV, acts_BTA = lm(tokens_1T, add)
  return logits_BTV[0, last], acts_BTA[0, last]


def end(lm, tokens, change_A):
  # Of one length, whatever follows, so that it is compiled once.
  tokens_1T = np.array([[*tokens, *[0] * (T - len(tokens))]], np.int32)
  return at_end(lm, tokens_1T, np.int32(len(tokens) - 1), change_A)


def features_at_end(lm, sae, tokens) -> np.ndarray:
  _, acts_A = jax.device_get(end(lm, tokens, np.zeros(A, np.float32)))
  W_enc_AF, b_enc_F = np.asarray(sae.W_enc_AF), np.asarray(sae.b_enc_F)
  return np.maximum((acts_A - sae.b_dec_A) @ W_enc_AF + b_enc_F, 0)


def logits_at_end(lm, sae, tokens, feature=0, value=None) -> np.ndarray:
  """Behind the last token, with a feature pinned there; else, as it is."""
  f = features_at_end(lm, sae, tokens)[feature]
  change = 0 if value is None else value - f
  change_A = np.asarray(change * sae.W_dec_FA[feature], np.float32)
  logits_V, _ = end(lm, tokens, change_A)
  return np.asarray(logits_V, float)


@pytest.mark.parametrize('layers', [{}, {'n_layers': 2, 'site_layer': 0}])
@pytest.mark.parametrize('value', [6.0, 0.0])
def test_effects_of_pinning_are_those_of_a_plain_loop(layers, value):
  lm, sae = random_model(2.0, **layers)
  tokens_BT = contexts(12)
  at_B = np.array([0, 1, 2, 3, 4, 5, 6, 7, -1, T - 1, 3, -1], np.int32)
  share_Vn = np.random.default_rng(4).random((V, 6)).astype(np.float32)
  share_Vn[:, 3] = 0.3  # whatever the token
  for source in SOURCES:
    mean_n, error_n, n = transitions.effect(
      lm,
      sae,
      DOT,
      tokens_BT,
      at_B,
      np.int32(source),
      np.float32(value),
      share_Vn,
    )
    change = []
    for tokens_T, at in zip(tokens_BT, at_B, strict=True):
      if at >= 0:
        cut = tokens_T[: at + 1]
        p_V, pinned_V = (
          softmax(logits_at_end(lm, sae, cut, *pin))
          for pin in ((), (source, value))
        )
        change.append(
          [sum(d * w for d, w in zip(pinned_V - p_V, share_V, strict=True))
           for share_V in share_Vn.T]
        )  # fmt: skip
    assert n == len(change) == 10
    error = np.std(change, axis=0, ddof=1) / math.sqrt(10)
    np.testing.assert_allclose(mean_n, np.mean(change, axis=0), atol=2e-6)
    np.testing.assert_allclose(error_n, error, atol=2e-6)
    # Probabilities add up to 1, with the pin and without.
    assert abs(mean_n[3]) < 1e-6
    assert np.abs(mean_n).max() > 1e-3


def softmax(logits_V: np.ndarray) -> np.ndarray:
  e_V = np.exp(logits_V - logits_V.max())
  return e_V / e_V.sum()


def test_an_effect_is_what_sampling_finds():
  """P(j fires | token) is exact where features look at the token alone."""
  lm, sae = random_model(0.5)
  cut, source = contexts(1)[0, :5], 14
  fires_VF = np.array(
    [features_at_end(lm, sae, [*cut, v]) > 0 for v in range(V)], np.float32
  )
  tokens_BT = np.zeros((1, T), np.int32)
  tokens_BT[:, :5] = cut
  mean_F, _, _ = transitions.effect(
    lm,
    sae,
    DOT,
    tokens_BT,
    np.array([4], np.int32),
    np.int32(source),
    np.float32(12),
    fires_VF,
  )
  rng, draws = np.random.default_rng(5), 50_000
  p_V, pinned_V = (
    softmax(logits_at_end(lm, sae, cut, *pin)) for pin in ((), (source, 12.0))
  )
  rate_F, pinned_F = (
    fires_VF[rng.choice(V, draws, p=p)].mean(0) for p in (p_V, pinned_V)
  )
  np.testing.assert_allclose(mean_F, pinned_F - rate_F, atol=0.01)
  assert np.abs(mean_F).max() > 0.05


@pytest.mark.parametrize('there', [0, 1])
def test_too_few_contexts_say_so(there):
  lm, sae = random_model(1.0)
  at_B = np.full(12, -1, np.int32)
  at_B[:there] = 2
  mean_n, error_n, n = transitions.effect(
    lm,
    sae,
    DOT,
    contexts(12),
    at_B,
    np.int32(7),
    np.float32(0),
    np.ones((V, 3), np.float32),
  )
  assert n == there
  assert np.all(np.isfinite(mean_n)) and np.all(np.isinf(error_n))
  if not there:
    assert np.all(mean_n == 0)


@pytest.mark.parametrize('pinned', [True, False])
def test_a_walk_is_that_of_a_plain_loop(pinned):
  lm, sae = random_model(1e4)
  nodes_Bn = np.array([[14, 8, 5], [15, -1, -1], [7, 15, 3]], np.int32)
  value_Bn = np.array([[9, 1, 4], [3, 0, 0], [0, 2, 2]], np.float32)
  prompt_BT = contexts(3)[:, :3]
  tokens_BT, node_BL = transitions.walk(
    lm,
    sae,
    DOT,
    choose,
    nodes_Bn,
    value_Bn,
    prompt_BT,
    jax.random.key(0),
    T - 3,
    pinned=pinned,
  )
  for b in range(3):
    tokens, now, reached = list(prompt_BT[b]), 0, []
    for _ in range(T - 3):
      pin = (int(nodes_Bn[b, now]), float(value_Bn[b, now])) if pinned else ()
      tokens.append(int(logits_at_end(lm, sae, tokens, *pin).argmax()))
      f_F = features_at_end(lm, sae, tokens)
      share = [
        f_F[i] / v if v else 0
        for i, v in zip(nodes_Bn[b], value_Bn[b], strict=True)
      ]
      reached.append(int(np.argmax(share)) if max(share) > 0 else -1)
      now = now if reached[-1] < 0 else reached[-1]
    assert tokens_BT[b].tolist() == tokens
    assert node_BL[b].tolist() == reached
  assert len(set(np.asarray(node_BL).ravel())) > 2


# Planted ones.

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
  """All that come one behind the other."""
  return x_BL[:, :-1].ravel(), x_BL[:, 1:].ravel()
