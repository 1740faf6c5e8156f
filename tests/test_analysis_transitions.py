"""Measured edges and walks of automata, against plain loops."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_transformer import shaken

from monosem_jax.analysis import transitions
from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  sae as sae_lib,
)
from monosem_jax.transformer import train as lm_train
from monosem_jax.transformer.sample import choose

DOT = Dot(jnp.dtype(jnp.float32))


D, A, F, V, T = 12, 16, 20, 23, 9
SOURCES = 11, 14


@functools.cache
def random_model(sharp: float, **changes):
  """A transformer and a dictionary; sharp: one token is all but certain."""
  c = settings.Transformer(
    d_model=D, d_mlp=A, n_heads=2, precision='float32', **changes
  )
  lm = lm_train.init(c, vocab_size=V, context=T, separator=0).model
  lm = shaken(lm)
  lm.W_U_DV[...] = lm.W_U_DV[...] * sharp
  sae = sae_lib.init(jax.random.key(0), A, F)
  rng = np.random.default_rng(2)
  bias_F = jnp.asarray(rng.normal(size=F) - 0.2, jnp.float32)
  return lm, sae.replace(b_enc_F=bias_F.at[7].set(-100))


def contexts(n: int) -> np.ndarray:
  return np.random.default_rng(3).integers(1, V, (n, T)).astype(np.int32)


@jax.jit
def at_end(lm, tokens_1T, last, change_A):
  """The logits after the last token, where the activations are changed."""
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
