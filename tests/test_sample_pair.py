"""Token by token, and beside it patched: what sampling in one call says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_transformer import LM, A, T, V, transformer

from monosem_jax.analysis import steering
from monosem_jax.dictionary.sae import SAE
from monosem_jax.transformer import sample as sampling, weights
from monosem_jax.transformer.sample import sample

F, SLOTS = 12, 5


def dictionary() -> SAE:
  rng = np.random.default_rng(4)
  draw = lambda *shape: jnp.asarray(rng.normal(0, 1, shape), jnp.float32)
  return SAE(draw(LM.d_mlp, F), draw(F), draw(F, LM.d_mlp), draw(LM.d_mlp))


def held(sae: SAE, pins: dict[int, float]) -> steering.Pins:
  """Pins that stand anywhere among empty places."""
  feature_K, value_K = np.zeros(SLOTS, np.int32), np.zeros(SLOTS, np.float32)
  own_K = np.zeros(SLOTS, bool)
  for k, (feature, value) in enumerate(pins.items()):
    feature_K[2 * k], value_K[2 * k], own_K[2 * k] = feature, value, True
  return steering.put(
    steering.none(SLOTS, LM.d_mlp), sae, feature_K, value_K, own_K
  )


def speak(
  lm, prompt_T, seed, n, temperature, top_k, pins, patch=steering.patch
):
  """Both texts, [2, n], and the log-probabilities, [n, 2, 2]."""
  texts, found = sampling.begin(prompt_T, T), []
  for _ in range(n):
    texts, drawn = sampling.extend(
      lm,
      texts,
      jax.random.key(seed),
      np.float32(temperature),
      np.int32(top_k),
      patch=patch,
      patch_args=pins,
    )
    found.append(jax.device_get(drawn))
  token_2n = np.stack([d.token_2 for d in found], axis=1)
  return token_2n, np.stack([d.log_p_22 for d in found])


@pytest.mark.parametrize(
  ('start', 'temperature', 'top_k'),
  [(1, 1.0, 0), (T, 0.0, 0), (T + 6, 0.7, 5), (4, 3.0, 3 * V)],
)
def test_both_say_what_sampling_says_of_one_row(start, temperature, top_k):
  lm, sae = transformer(), dictionary()
  prompt_T = np.random.default_rng(start).integers(1, V, start).astype(np.int32)
  pins, n = {3: 4.0, 7: -2.5}, 2 * T + 1
  own = steering.pins(
    sae, jnp.array([*pins], jnp.int32), jnp.array([*pins.values()])
  )
  draw = functools.partial(
    sample,
    lm,
    prompt_T[None],
    jax.random.key(9),
    length=n,
    temperature=temperature,
    top_k=top_k,
  )
  want = draw(), draw(patch=steering.patch, patch_args=own)
  got, _ = speak(lm, prompt_T, 9, n, temperature, top_k, held(sae, pins))
  for x in range(2):
    np.testing.assert_array_equal(got[x], np.asarray(want[x])[0, start:])
  assert (got[0] != got[1]).any()


def test_without_pins_both_are_the_same():
  lm = transformer()
  got, log_p = speak(
    lm, np.array([3], np.int32), 2, T, 1.0, 0, held(dictionary(), {})
  )
  np.testing.assert_array_equal(got[0], got[1])
  np.testing.assert_array_equal(log_p[:, 0], log_p[:, 1])


@functools.partial(jax.jit, static_argnums=2)
def logits(lm, tokens_BT, patch):
  return lm(tokens_BT, patch)[0]


def doubled(acts_BTA):
  return 2.0 * acts_BTA


def test_log_probabilities_are_of_each_token_by_both_models():
  lm, start, n = transformer(), 4, T + 5
  prompt_T = np.arange(1, 1 + start, dtype=np.int32)
  # Neither top_k nor the temperature of the draw change them.
  got, log_p_n22 = speak(
    lm, prompt_T, 0, n, 0.5, 3, None, patch=lambda _, x: doubled(x)
  )
  for x in range(2):
    text = np.concatenate([prompt_T, got[x]])
    for i in range(n):
      seen = text[: start + i][-T:]
      padded = np.pad(seen, (0, T - seen.size))[None]
      for by, patch in enumerate((None, doubled)):
        row = np.asarray(logits(lm, padded, patch))[0, seen.size - 1]
        row = row.astype(np.float64)
        want = row[text[start + i]] - np.log(np.exp(row).sum())
        assert log_p_n22[i, by, x] == pytest.approx(want, rel=1e-4, abs=1e-5)


def test_top_k_takes_the_same_ones_where_logits_are_equal():
  lm = transformer()
  found = weights.tensors(lm)
  flat = weights.load(lm, found | {'W_U_DV': jnp.zeros_like(found['W_U_DV'])})
  prompt_T = np.array([3], np.int32)
  got, _ = speak(flat, prompt_T, 1, 40, 1.0, 6, None, patch=lambda _, x: x)
  want = sample(flat, prompt_T[None], jax.random.key(1), length=40, top_k=6)
  np.testing.assert_array_equal(got[0], np.asarray(want)[0, 1:])
  assert len(set(got[0])) == 6


def test_pins_of_two_dictionaries_stand_beside_each_other():
  one, other = dictionary(), dictionary()
  other = other.replace(W_dec_FA=-3.0 * one.W_dec_FA, b_dec_A=jnp.ones(A))
  pins = held(one, {3: 4.0})
  pins = steering.put(
    pins,
    other,
    np.array([0, 0, 0, 3, 0], np.int32),
    np.float32([0, 0, 0, 1.5, 0]),
    np.array([False, False, False, True, False]),
  )
  x_BTA = jnp.asarray(
    np.random.default_rng(5).normal(size=(1, 3, A)), 'float32'
  )
  want = np.asarray(x_BTA, np.float64)
  for sae, value in ((one, 4.0), (other, 1.5)):
    shifted = np.asarray(x_BTA, np.float64) - np.asarray(sae.b_dec_A)
    f = shifted @ np.asarray(sae.W_enc_AF)[:, 3] + float(sae.b_enc_F[3])
    change = value - np.maximum(f, 0)
    want = want + change[..., None] * np.asarray(sae.W_dec_FA)[3]
  got = np.asarray(steering.patch(pins, x_BTA))
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
