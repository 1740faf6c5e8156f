"""Pinned features against their definition, and planted ones that are read."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax import mesh as meshes, settings
from monosem_jax.analysis import steering
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.errors import UserError
from monosem_jax.precision import Dot
from monosem_jax.transformer import train as lm_train, weights
from monosem_jax.transformer.sample import sample

D, A, F, V, T, B = 16, 24, 30, 40, 12, 3
LM = settings.Transformer(d_model=D, d_mlp=A, n_heads=2, precision='float32')
DOT = Dot(jnp.dtype(jnp.float32))


@pytest.fixture
def double_precision():
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    yield


def transformer(**changes):
  c = dataclasses.replace(LM, **changes)
  init = lambda: lm_train.init(c, vocab_size=V, context=T, separator=0)
  like = jax.eval_shape(init).model
  rng = np.random.default_rng(1)
  found = {
    name: rng.normal(name.rpartition('.')[2].startswith('w_'), 0.4, x.shape)
    for name, x in weights.tensors(like).items()
  }
  dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
  return weights.load(like, {n: x.astype(dtype) for n, x in found.items()})


def dictionary(width: int = A, seed: int = 2):
  """Decoder rows are not of norm 1."""
  rng = np.random.default_rng(seed)
  made = (
    rng.normal(size=(width, F)) / width**0.5,
    rng.normal(size=F) * 0.5,
    rng.normal(size=(F, width)) / width**0.5,
    rng.normal(size=width) * 0.3,
  )
  dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
  return sae_lib.SAE(*(jnp.asarray(x, dtype) for x in made))


def contexts() -> np.ndarray:
  return np.random.default_rng(3).integers(1, V, (B, T)).astype(np.int32)


def pins(sae, feature_K, value_K) -> steering.Pins:
  return steering.pins(
    sae, jnp.array(feature_K, jnp.int32), jnp.array(value_K, jnp.float32)
  )


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


# Of a planted transformer: what feature 0 alone raises.
READ = np.arange(5, 15)


def planted():
  """Neuron i is feature i; W_U reads what neuron 0 writes, on READ alone.

  The decoder rows are not of norm 1; feature 29 never fires.
  """
  rng = np.random.default_rng(4)
  lm = transformer()
  found = {n: np.array(x) for n, x in weights.tensors(lm).items()}
  W_U_DV = 0.02 * rng.normal(size=(D, V))
  W_U_DV[0, READ] = 1
  W_out_AD = rng.normal(size=(A, D)) / D**0.5
  W_out_AD[:, 0], W_out_AD[0] = 0, np.eye(D)[0]
  for name in ('ln_f.w_D', 'ln_f.b_D'):
    found[name][:] = name == 'ln_f.w_D'
  # Neuron 0 alone writes there, and seldom.
  found['blocks.0.mlp.b_in_A'][0] = -2
  for name in ('W_E_VD', 'W_pos_TD', 'blocks.0.attn.W_O_HKD'):
    found[name][..., 0] = 0
  for name in ('blocks.0.attn.b_O_D', 'blocks.0.mlp.b_out_D'):
    found[name][0] = 0
  found |= {'W_U_DV': W_U_DV, 'blocks.0.mlp.W_out_AD': W_out_AD}
  found = {n: np.float32(x) for n, x in found.items()}
  norm_A = rng.uniform(0.5, 2, A)
  W_enc_AF, W_dec_FA = np.zeros((A, F)), np.zeros((F, A))
  W_enc_AF[range(A), range(A)] = 1 / norm_A
  W_dec_FA[range(A), range(A)] = norm_A
  b_enc_F = np.where(np.arange(F) < A, 0, -1)
  made = (W_enc_AF, b_enc_F, W_dec_FA, np.zeros(A))
  sae = sae_lib.SAE(*(jnp.asarray(x, jnp.float32) for x in made))
  return weights.load(lm, found), sae


@functools.cache
def response():
  """On 4 x 2 devices."""
  lm, sae = planted()
  tokens_CT = np.random.default_rng(6).integers(1, V, (5, T)).astype(np.int32)
  acts_BTA = lm(tokens_CT)[1].reshape(-1, A)
  max_F = np.asarray(sae_lib.encode(sae, acts_BTA, DOT).max(0))
  told = []
  mesh = meshes.make_mesh(settings.Mesh(data=4, feature=2))
  with jax.set_mesh(mesh):
    found = steering.dose_response(
      meshes.place(mesh, lm),
      meshes.place(mesh, sae),
      [0, 1],
      max_F,
      max_F > 0,
      tokens_CT,
      contexts()[:, :3],
      sample,
      (-1, 0, 1, 3, 10),
      length=30,
      predicates={
        'read': np.isin(np.arange(V), READ),
        'read by a function': lambda tokens_BT: np.isin(tokens_BT, READ),
        'prompt': lambda tokens_BT: np.broadcast_to(
          np.arange(tokens_BT.shape[1]) < 3, tokens_BT.shape
        ),
        'length': lambda tokens_BT: np.full(
          tokens_BT.shape, tokens_BT.shape[1] == 33
        ),
      },
      progress=lambda *x: told.append(x),
    )
  assert told == [(1, 2), (2, 2)]
  return lm, sae, max_F, tokens_CT, found


def test_a_planted_feature_moves_what_reads_it_and_its_controls_do_not():
  *_, found = response()
  np.testing.assert_array_equal(np.sort(found['top_ids_Xk'][0]), READ)
  odds = found['log_odds']
  by_dose_M = odds['pinned']['mean'][0]
  assert (np.diff(by_dose_M) > 0.3).all()
  control_M = odds['control']['mean'][0]
  assert np.ptp(control_M) < 0.05 * np.ptp(by_dose_M)
  assert abs(control_M - odds['unpinned']['mean'][0]).max() < 0.3
  share = found['share']['read']
  assert share['unpinned']['mean'] < 0.5
  assert share['pinned']['mean'][0, -1] > 0.9
  assert share['pinned']['mean'][0, 0] < 0.1
  # Another feature's pins leave these tokens about as likely as they were.
  assert share['pinned']['mean'][1].max() < 0.6
  assert share['control']['mean'].max() < 0.6


def test_predicates_see_whole_texts_and_count_new_tokens():
  *_, found = response()
  share = found['share']
  one, other = share['read'], share['read by a function']
  for kind in ('pinned', 'control', 'unpinned'):
    for name in ('mean', 'se'):
      np.testing.assert_array_equal(one[kind][name], other[kind][name])
  for kind in ('pinned', 'control', 'unpinned'):
    assert (share['prompt'][kind]['mean'] == 0).all()
    assert (share['length'][kind]['mean'] == 1).all()
    assert (share['length'][kind]['se'] == 0).all()


def test_odds_and_controls_are_those_of_the_definition():
  lm, sae, max_F, tokens_CT, found = response()
  row = lambda i: np.asarray(sae.W_dec_FA[i], np.float64)

  def odds_C(patch, x):
    logits_CTV = np.asarray(lm(tokens_CT, patch)[0], np.float64)
    p_CTV = np.exp(logits_CTV)
    p_CTV /= p_CTV.sum(-1, keepdims=True)
    p_CT = p_CTV[..., found['top_ids_Xk'][x]].sum(-1)
    return (np.log(p_CT) - np.log(1 - p_CT)).mean(1)

  def along(direction_A, i, value):
    def patch(acts_BTA):
      f_CTF = jnp.stack([sae_lib.encode(sae, x, DOT) for x in acts_BTA])
      change_CT1 = np.float32(value) - f_CTF[..., i : i + 1]
      return acts_BTA + change_CT1 * jnp.asarray(direction_A, jnp.float32)

    return patch

  odds = found['log_odds']
  for x, i in enumerate(found['feature_X']):
    plain_C = odds_C(None, x)
    np.testing.assert_allclose(
      odds['unpinned']['mean'][x], plain_C.mean(), rtol=1e-4
    )
    controls = found['control_XR'][x]
    assert len(set(controls)) == 4 and i not in controls
    assert (max_F[controls] > 0).all()
    for m, multiple in enumerate(found['multiple_M']):
      value = multiple * max_F[i]
      pinned_C = odds_C(along(row(i), i, value), x)
      norm = np.linalg.norm(row(i))
      control_R = [
        odds_C(along(norm * row(j) / np.linalg.norm(row(j)), i, value), x)
        for j in controls
      ]
      control_R = np.mean(control_R, 1)
      for kind, each in (('pinned', pinned_C), ('control', control_R)):
        got, n = odds[kind], len(each)
        assert got['n'] == n
        np.testing.assert_allclose(
          got['mean'][x, m], each.mean(), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
          got['se'][x, m], each.std(ddof=1) / n**0.5, rtol=1e-3, atol=1e-4
        )


def test_what_has_no_dose_or_no_control_is_refused():
  lm, sae, max_F, tokens_CT, _ = response()
  run = lambda feature, live_F: steering.dose_response(
    *(lm, sae, [feature], max_F, live_F, tokens_CT),
    *(contexts()[:, :3], sample, [1]),
  )
  with pytest.raises(UserError, match='feature 29 never fired'):
    run(29, max_F > 0)
  with pytest.raises(UserError, match=r'4 controls .* only 3'):
    run(2, np.arange(F) < 4)
