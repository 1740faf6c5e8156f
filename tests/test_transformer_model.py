"""What the transformer may see, what a patch changes, what logits mean."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.transformer import weights
from monosem_jax.transformer.model import Transformer, next_token_loss
from monosem_jax.transformer.sample import sample

V, T, B, SEPARATOR = 30, 10, 3, 7
BASE = settings.Transformer(
  d_model=16, d_mlp=20, n_heads=2, precision='float32', seed=3
)
KINDS = {
  'one_layer': BASE,
  'two_layers_gelu': dataclasses.replace(
    BASE, n_layers=2, activation='gelu', site_layer=1
  ),
  'first_of_two': dataclasses.replace(BASE, n_layers=2, site_layer=0),
  'resid': dataclasses.replace(BASE, n_layers=2, site='resid'),
}


def model(c: settings.Transformer = BASE) -> Transformer:
  made = jax.eval_shape(
    lambda: Transformer(
      c, vocab_size=V, context=T, separator=SEPARATOR, rngs=nnx.Rngs(0)
    )
  )
  rng = np.random.default_rng(c.seed)
  found = {}
  for name, x in weights.tensors(made).items():
    center = name.rpartition('.')[2].startswith('w_')  # a norm's gain
    found[name] = np.float32(center + 0.35 * rng.normal(size=x.shape))
  return weights.load(made, found)


def tokens() -> jax.Array:
  found = np.random.default_rng(1).integers(8, V, size=(B, T))
  return jnp.asarray(found, jnp.int32)


def leaf(lm, name: str) -> np.ndarray:
  return np.asarray(weights.tensors(lm)[name], np.float64)


def changed(lm, **new):
  """The model with tensors put in the place of its own, by dotted name."""
  found = weights.tensors(lm)
  for name, x in new.items():
    found[name.replace('__', '.')] = jnp.asarray(x, jnp.float32)
  return weights.load(lm, found)


def reference(lm, c, tokens_BT, patch=lambda layer, kind, x: x):
  """The whole forward pass in NumPy loops over float64, one query at a time."""

  def norm(x, name):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    return x * leaf(lm, f'{name}.w_D') + leaf(lm, f'{name}.b_D')

  def act(x):
    if c.activation == 'relu':
      return np.maximum(x, 0)
    return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))

  tokens_BT = np.asarray(tokens_BT)
  x = leaf(lm, 'W_E_VD')[tokens_BT] + leaf(lm, 'W_pos_TD')[: tokens_BT.shape[1]]
  for layer in range(c.n_layers):
    name = f'blocks.{layer}'
    h = norm(x, f'{name}.ln1')
    q, k, v = (
      np.einsum('btd,dhk->bthk', h, leaf(lm, f'{name}.attn.W_{m}_DHK'))
      for m in 'QKV'
    )
    z = np.zeros_like(q)
    for b, t, head in np.ndindex(q.shape[:3]):
      start = 0
      if not c.attend_across_documents:
        cuts = np.flatnonzero(tokens_BT[b, : t + 1] == SEPARATOR)
        start = cuts[-1] if cuts.size else 0
      scores = k[b, start : t + 1, head] @ q[b, t, head] / q.shape[3] ** 0.5
      p = np.exp(scores - scores.max())
      z[b, t, head] = (p / p.sum()) @ v[b, start : t + 1, head]
    out = np.einsum('bthk,hkd->btd', z, leaf(lm, f'{name}.attn.W_O_HKD'))
    x = x + out + leaf(lm, f'{name}.attn.b_O_D')
    pre = norm(x, f'{name}.ln2') @ leaf(lm, f'{name}.mlp.W_in_DA')
    hidden = act(pre + leaf(lm, f'{name}.mlp.b_in_A'))
    hidden = patch(layer, 'mlp', hidden)
    x = x + hidden @ leaf(lm, f'{name}.mlp.W_out_AD')
    x = x + leaf(lm, f'{name}.mlp.b_out_D')
    x = patch(layer, 'resid', x)
  return norm(x, 'ln_f') @ leaf(lm, 'W_U_DV')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('across', [False, True])
def test_logits_and_activations_match_numpy(kind, across):
  c = dataclasses.replace(KINDS[kind], attend_across_documents=across)
  lm, seen = model(c), {}
  # Separators in the middle, side by side, at the start and at the end.
  tokens_BT = tokens().at[0, 4].set(SEPARATOR).at[1, 0].set(SEPARATOR)
  tokens_BT = tokens_BT.at[1, 5:7].set(SEPARATOR).at[2, -1].set(SEPARATOR)

  def note(layer, kind, x):
    seen[kind, layer] = x
    return x

  want_BTV = reference(lm, c, tokens_BT, note)
  logits_BTV, acts_BTA = lm(tokens_BT)
  assert logits_BTV.dtype == jnp.float32
  np.testing.assert_allclose(logits_BTV, want_BTV, rtol=2e-4, atol=2e-4)
  np.testing.assert_allclose(
    acts_BTA, seen[c.site, c.site_layer], rtol=2e-4, atol=2e-4
  )


@pytest.mark.parametrize('kind', KINDS)
def test_no_logit_has_a_gradient_to_a_later_token(kind):
  lm, tokens_BT = model(KINDS[kind]), tokens()[:1]
  # A word each, so that a gradient to an embedding is one to a position.
  tokens_BT = jnp.arange(T, dtype=jnp.int32)[None] + 10
  probe_V = jnp.asarray(np.random.default_rng(2).normal(size=V), jnp.float32)

  def at(W_E_VD, t):
    moved = changed(lm)
    moved.W_E_VD = nnx.Param(W_E_VD)
    return moved(tokens_BT)[0][0, t] @ probe_V

  for t in (0, 4, T - 1):
    slope_TD = jax.grad(at)(lm.W_E_VD[...], t)[10 : 10 + T]
    reach_T = np.abs(slope_TD).max(1)
    assert (reach_T[t + 1 :] == 0).all()
    assert (reach_T[: t + 1] > 0).all()


@pytest.mark.parametrize('across', [False, True])
def test_attention_crosses_a_separator_only_when_told_to(across):
  lm = model(dataclasses.replace(BASE, attend_across_documents=across))
  one_BT = tokens().at[:, 5].set(SEPARATOR)
  other_BT = one_BT.at[:, :5].set((one_BT[:, :5] - 8 + 3) % (V - 8) + 8)
  a, b = np.asarray(lm(one_BT)[0]), np.asarray(lm(other_BT)[0])
  assert np.array_equal(a[:, 5:], b[:, 5:]) == (not across)
  assert (a[:, :5] != b[:, :5]).any()
  # The document behind a separator sees the separator, its opening.
  word_BT = one_BT.at[:, 5].set(9)
  assert (np.asarray(lm(word_BT)[0])[:, 6:] != a[:, 6:]).any()


@pytest.mark.parametrize('kind', KINDS)
def test_an_identity_patch_changes_no_bit(kind):
  lm = model(KINDS[kind])
  plain, patched = lm(tokens()), lm(tokens(), lambda x: x)
  for a, b in zip(plain, patched, strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('kind', KINDS)
def test_a_patch_replaces_the_activations_of_its_site_alone(kind):
  c = KINDS[kind]
  lm = model(c)

  def patch(layer, site, x):
    return 2 * x + 1 if (site, layer) == (c.site, c.site_layer) else x

  want_BTV = reference(lm, c, tokens(), patch)
  got_BTV, acts_BTA = lm(tokens(), lambda x: 2 * x + 1)
  np.testing.assert_allclose(got_BTV, want_BTV, rtol=2e-4, atol=3e-4)
  # What is returned is what was there before the patch.
  np.testing.assert_array_equal(acts_BTA, lm(tokens())[1])


def test_zeroed_activations_leave_the_output_bias_alone():
  lm = model()
  without = changed(lm, blocks__0__mlp__W_out_AD=np.zeros((20, 16)))
  np.testing.assert_array_equal(
    lm(tokens(), jnp.zeros_like)[0], without(tokens())[0]
  )


def test_next_token_loss_is_the_log_softmax_of_the_token_that_comes():
  rng = np.random.default_rng(4)
  logits_BTV = rng.normal(size=(B, T, V)) * 3
  got = next_token_loss(jnp.asarray(logits_BTV, jnp.float32), tokens())
  assert got.shape == (B, T - 1)
  for b, t in np.ndindex(B, T - 1):
    p_V = np.exp(logits_BTV[b, t])
    want = -np.log(p_V[tokens()[b, t + 1]] / p_V.sum())
    assert float(got[b, t]) == pytest.approx(want, rel=1e-4)


def test_gradient_of_the_next_token_loss_is_softmax_minus_one_hot():
  rng = np.random.default_rng(5)
  logits_BTV = rng.normal(size=(B, T, V)) * 3
  weight_BT = rng.normal(size=(B, T - 1))

  def total(logits_BTV):
    return (next_token_loss(logits_BTV, tokens()) * weight_BT).sum()

  got_BTV = jax.grad(total)(jnp.asarray(logits_BTV, jnp.float32))
  p_BTV = np.exp(logits_BTV)
  want_BTV = p_BTV / p_BTV.sum(-1, keepdims=True)
  for b, t in np.ndindex(B, T - 1):
    want_BTV[b, t, tokens()[b, t + 1]] -= 1
    want_BTV[b, t] *= weight_BT[b, t]
  want_BTV[:, -1] = 0  # nothing follows the last
  np.testing.assert_allclose(got_BTV, want_BTV, atol=1e-5)


@pytest.mark.parametrize('kind', ['one_layer', 'two_layers_gelu', 'resid'])
def test_logit_weights_are_the_direct_path_to_the_logits(kind):
  c = dataclasses.replace(KINDS[kind], site_layer=KINDS[kind].n_layers - 1)
  lm = model(c)
  A = c.d_mlp if c.site == 'mlp' else c.d_model
  rows_FA = np.random.default_rng(5).normal(size=(6, A)).astype(np.float32)
  got_FV = np.asarray(lm.logit_weights(jnp.asarray(rows_FA)))
  # The jacobian of the rest of the pass, at one token, along each row. Behind
  # the last layer it is the linear map, over the standard deviation, minus the
  # part of the row along the stream itself: the norm's own reaction.
  x_D = []

  def tail(shift_A):
    def patch(acts_BTA):
      return acts_BTA.at[0, 3].add(shift_A)

    return lm(tokens(), patch)[0][0, 3]

  zero_A = jnp.zeros(A)
  slope_FV = jax.vmap(lambda row_A: jax.jvp(tail, (zero_A,), (row_A,))[1])(
    jnp.asarray(rows_FA)
  )
  reference(lm, c, tokens(), lambda layer, site, x: x_D.append(x[0, 3]) or x)
  stream_D = x_D[-1] - x_D[-1].mean()
  std = np.sqrt((stream_D**2).mean() + 1e-5)
  rows_FD = rows_FA.astype(np.float64)
  if c.site == 'mlp':
    rows_FD = rows_FD @ leaf(lm, f'blocks.{c.site_layer}.mlp.W_out_AD')
  along_F = rows_FD @ stream_D / (len(stream_D) * std**2)
  reaction_FV = np.outer(
    along_F, (stream_D * leaf(lm, 'ln_f.w_D')) @ leaf(lm, 'W_U_DV')
  )
  np.testing.assert_allclose(
    got_FV, np.asarray(slope_FV) * std + reaction_FV, rtol=1e-3, atol=1e-3
  )


def test_a_matrix_product_in_bfloat16_is_near_and_leaves_float32():
  exact = model()
  c = dataclasses.replace(BASE, precision='bfloat16')
  # Attention hands bfloat16 on, which strict promotion forbids beside float32.
  with jax.numpy_dtype_promotion('standard'):
    logits_BTV, acts_BTA = jax.jit(model(c))(tokens())
  assert logits_BTV.dtype == acts_BTA.dtype == jnp.float32
  want_BTV, want_BTA = exact(tokens())
  for got, want in ((logits_BTV, want_BTV), (acts_BTA, want_BTA)):
    off = np.abs(got - want).max() / np.abs(want).max()
    assert 0 < off < 0.05


def test_weights_survive_the_way_through_names():
  lm = model(KINDS['two_layers_gelu'])
  found = {k: np.asarray(x) for k, x in weights.tensors(lm).items()}
  assert len(found) == len(jax.tree.leaves(lm))
  assert {'W_E_VD', 'blocks.1.attn.W_Q_DHK', 'blocks.0.ln1.w_D'} <= set(found)
  other = model(dataclasses.replace(KINDS['two_layers_gelu'], seed=9))
  shapes = jax.eval_shape(lambda: other)
  for like in (other, shapes):
    loaded = weights.load(like, found)
    np.testing.assert_array_equal(loaded(tokens())[0], lm(tokens())[0])


def test_weights_that_do_not_fit_are_refused_by_name():
  lm = model()
  found = {k: np.asarray(x) for k, x in weights.tensors(lm).items()}
  missing = {k: x for k, x in found.items() if k != 'blocks.0.mlp.b_in_A'}
  with pytest.raises(UserError, match=r'blocks\.0\.mlp\.b_in_A .*None'):
    weights.load(lm, missing)
  wider = found | {'W_U_DV': np.zeros((16, V + 1), np.float32)}
  with pytest.raises(UserError, match=r'W_U_DV .*\(16, 31\).*\(16, 30\)'):
    weights.load(lm, wider)


def test_sampling_keeps_the_prompt_and_is_fixed_by_the_key():
  lm, prompt_BT = model(), tokens()[:, :4]
  one = np.asarray(sample(lm, prompt_BT, jax.random.key(0), length=6))
  assert one.shape == (B, 10) and one.dtype == prompt_BT.dtype
  np.testing.assert_array_equal(one[:, :4], prompt_BT)
  again = sample(lm, prompt_BT, jax.random.key(0), length=6)
  np.testing.assert_array_equal(one, again)
  other = np.asarray(sample(lm, prompt_BT, jax.random.key(1), length=6))
  assert (one != other).any()
  assert (one >= 0).all() and (one < V).all()


def test_cold_sampling_takes_the_likeliest_token_each_time():
  lm, text_BT = model(), np.asarray(tokens()).copy()
  prompt_BT = tokens()[:, :4]
  got = sample(lm, prompt_BT, jax.random.key(0), length=6, temperature=1e-4)
  for t in range(4, T):
    text_BT[:, t] = np.asarray(lm(jnp.asarray(text_BT))[0])[:, t - 1].argmax(-1)
  np.testing.assert_array_equal(got, text_BT)


def test_warm_sampling_follows_the_probabilities():
  lm, n = model(), 4_000
  prompt_BT = jnp.tile(tokens()[:1, :3], (n, 1))
  got = sample(lm, prompt_BT, jax.random.key(0), length=1, temperature=2.0)
  logits_V = np.asarray(lm(prompt_BT[:1])[0], np.float64)[0, -1] / 2
  p_V = np.exp(logits_V) / np.exp(logits_V).sum()
  seen_V = np.bincount(np.asarray(got)[:, 3], minlength=V)
  common = n * p_V > 5
  chi = ((seen_V - n * p_V) ** 2 / (n * p_V))[common].sum()
  assert chi < common.sum() + 5 * (2 * common.sum()) ** 0.5
