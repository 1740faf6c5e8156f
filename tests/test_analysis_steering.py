"""Pinned features, against the definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from steered import DOT, T, contexts, dictionary, pins, transformer
from tiny_transformer import A, B, D, V

from monosem_jax.analysis import steering
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.transformer.sample import sample


def plainly(sae, feature_K, value_K, acts_BTA):
  """What pinning adds, by encoding and decoding everything twice."""
  x_NA = acts_BTA.reshape(-1, acts_BTA.shape[-1])
  f_NF = sae_lib.encode(sae, x_NA, DOT)
  pinned_NF = f_NF.at[:, jnp.array(feature_K)].set(jnp.array(value_K))
  added_NA = sae_lib.decode(sae, pinned_NF, DOT) - sae_lib.decode(
    sae, f_NF, DOT
  )
  return added_NA.reshape(acts_BTA.shape), pinned_NF


@pytest.mark.parametrize('site', ['mlp', 'resid'])
def test_a_pinned_pass_is_that_of_both_whole_decodes(site, double_precision):
  lm, width = transformer(site=site, n_layers=2), A if site == 'mlp' else D
  one, two = dictionary(width), dictionary(width, seed=5)
  feature_K, value_K = [4, 17, 9], [2.0, -1.5, 0.0]
  both = jax.tree.map(
    lambda *x: jnp.concatenate(x),
    pins(one, feature_K, value_K),
    pins(two, [4], [7.0]),
  )

  def plain(acts_BTA):
    return (
      acts_BTA
      + plainly(one, feature_K, value_K, acts_BTA)[0]
      + plainly(two, [4], [7.0], acts_BTA)[0]
    )

  @jax.jit
  def run(lm, both):
    patched = functools.partial(steering.patch, both)
    return *lm(contexts()), *lm(contexts(), patched), lm(contexts(), plain)[0]

  own, acts_BTA, got, _, want = run(lm, both)
  assert got.dtype == np.float64
  np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
  assert np.abs(got - own).max() > 0.1

  # What the dictionary did not explain is still there.
  own_pins = pins(one, feature_K, value_K)
  x_NA = acts_BTA.reshape(-1, width)
  error_NA = x_NA - sae_lib.decode(one, sae_lib.encode(one, x_NA, DOT), DOT)
  _, pinned_NF = plainly(one, feature_K, value_K, acts_BTA)
  np.testing.assert_allclose(
    steering.patch(own_pins, acts_BTA).reshape(-1, width)
    - sae_lib.decode(one, pinned_NF, DOT),
    error_NA,
    atol=1e-12,
  )
  assert np.abs(error_NA).max() > 0.1


def test_without_a_pin_nothing_changes_bit_for_bit():
  lm, none = transformer(), pins(dictionary(), [], [])
  odd = jnp.array([-0.0, 0.0, 1e-42, jnp.nan, -jnp.inf] + [1.0] * (A - 5))
  kept = steering.patch(none, odd[None, None])
  assert np.asarray(kept).tobytes() == np.asarray(odd).tobytes()

  run = jax.jit(
    lambda lm, own, x: lm(x, functools.partial(steering.patch, own))
  )
  plain = jax.jit(lambda lm, x: lm(x))
  for got, want in zip(
    run(lm, none, contexts()), plain(lm, contexts()), strict=True
  ):
    assert np.asarray(got).tobytes() == np.asarray(want).tobytes()

  draw = functools.partial(
    sample, lm, contexts()[:, :4], jax.random.key(3), length=20
  )
  unpinned_BT = draw()
  np.testing.assert_array_equal(
    draw(patch=steering.patch, patch_args=none), unpinned_BT
  )
  one = pins(dictionary(), [3], [9.0])
  pinned_BT = draw(patch=steering.patch, patch_args=one)
  assert (np.asarray(pinned_BT) != unpinned_BT).any()


def test_each_row_can_have_pins_of_its_own():
  sae = dictionary()
  x_BTA = jax.random.normal(jax.random.key(0), (B, T, A))
  own = [pins(sae, [i], [float(i)]) for i in (1, 2, 5)]
  got = steering.patch_each(jax.tree.map(lambda *p: jnp.stack(p), *own), x_BTA)
  for i in range(B):
    want = steering.patch(own[i], x_BTA[i : i + 1])[0]
    np.testing.assert_allclose(got[i], want, rtol=1e-5, atol=1e-5)


def test_log_odds_stay_exact_where_a_probability_is_all_but_1():
  logits_V = np.random.default_rng(0).normal(size=V) * 3
  logits_V[7] = 60
  for chosen in ([1, 2], [7, 3]):
    got = steering.log_odds(
      jnp.asarray(logits_V, jnp.float32)[None, None], jnp.array(chosen)
    )
    e_V = np.exp(logits_V)
    inside = e_V[chosen].sum()
    outside = np.delete(e_V, chosen).sum()
    np.testing.assert_allclose(got[0, 0], np.log(inside / outside), rtol=1e-5)
