"""Training steps of the transformer, against NumPy where it has an answer."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax import mesh as meshes, settings
from monosem_jax.transformer import train, weights

V, T, B = 30, 8, 16
BASE = settings.Transformer(
  d_model=16,
  d_mlp=24,
  n_heads=2,
  precision='float32',
  batch_size=B,
  lr=1e-2,
  warmup_steps=2,
  steps=40,
  weight_decay=0.1,
)


@functools.cache
def made() -> train.TrainState:
  return train.init(BASE, vocab_size=V, context=T, separator=0)


def init(c: settings.Transformer = BASE) -> train.TrainState:
  """The same weights for every config, as chunks donate theirs."""
  like = jax.eval_shape(
    lambda: train.init(c, vocab_size=V, context=T, separator=0)
  )
  leaves = [x.copy() for x in jax.tree.leaves(made())]
  return jax.tree.unflatten(jax.tree.structure(like), leaves)


@functools.cache
def two_steps():
  """The compiled chunk of BASE; every test gives it 2 steps."""
  return train.make_chunk(BASE)


def tokens(steps: int, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.integers(1, V, size=(steps, B, T)).astype(np.int32)


def test_loss_falls_on_a_batch_that_repeats():
  tokens_SBT = jnp.asarray(np.tile(tokens(1), (2, 1, 1)))
  before = state = init()
  losses, finite = [], []
  for _ in range(20):
    state, stats = two_steps()(state, tokens_SBT)
    losses += stats['loss'].tolist()
    finite += stats['finite'].tolist()
  assert before.model.W_E_VD[...].is_deleted()
  # It starts at about the entropy of a uniform guess and is learned by heart.
  assert abs(losses[0] - math.log(V)) < 0.7
  assert losses[-1] < 0.5 * losses[0]
  assert all(finite) and int(state.step) == 40


def adamw(c, w, grads, mu, nu, step):
  """One step of clipped AdamW (Loshchilov and Hutter) in float64."""
  norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
  clip = min(1.0, c.clip_norm / norm)
  rate = c.lr * step / c.warmup_steps
  if step >= c.warmup_steps:
    done = (step - c.warmup_steps) / (c.steps - c.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    rate = c.lr * ((1 - c.lr_final) * cosine + c.lr_final)
  for k, g in grads.items():
    g = g * clip
    mu[k] = c.beta1 * mu[k] + (1 - c.beta1) * g
    nu[k] = c.beta2 * nu[k] + (1 - c.beta2) * g * g
    mu_hat = mu[k] / (1 - c.beta1 ** (step + 1))
    nu_hat = nu[k] / (1 - c.beta2 ** (step + 1))
    decay = c.weight_decay * w[k] if w[k].ndim > 1 else 0
    w[k] = w[k] - rate * (mu_hat / (np.sqrt(nu_hat) + 1e-8) + decay)
  return norm, rate


def test_steps_are_clipped_adamw_on_the_gradient_of_the_mean_loss():
  c = dataclasses.replace(BASE, clip_norm=0.3, warmup_steps=2, steps=6)
  state = init(c)
  w = {
    k: np.asarray(x, np.float64)
    for k, x in weights.tensors(state.model).items()
  }
  mu = {k: np.zeros_like(x) for k, x in w.items()}
  nu = {k: np.zeros_like(x) for k, x in w.items()}
  gradient = jax.jit(jax.value_and_grad(train.mean_loss))
  model, losses, norms, rates = init(c).model, [], [], []
  for step, tokens_BT in enumerate(tokens(4)):
    loss, grads = gradient(model, jnp.asarray(tokens_BT))
    grads = {
      k: np.asarray(g, np.float64) for k, g in weights.tensors(grads).items()
    }
    norm, rate = adamw(c, w, grads, mu, nu, step)
    losses.append(float(loss))
    norms.append(norm)
    rates.append(rate)
    model = weights.load(model, {k: np.float32(x) for k, x in w.items()})
  assert max(norms) > c.clip_norm
  state, stats = train.make_chunk(c)(state, jnp.asarray(tokens(4)))
  np.testing.assert_allclose(stats['loss'], losses, rtol=1e-4)
  np.testing.assert_allclose(stats['grad_norm'], norms, rtol=1e-3)
  np.testing.assert_allclose(stats['lr'], rates, rtol=1e-5, atol=1e-9)
  for k, x in weights.tensors(state.model).items():
    np.testing.assert_allclose(x, w[k], atol=5e-4, err_msg=k)


@pytest.fixture(scope='module')
def whole():
  return two_steps()(init(), jnp.asarray(tokens(2)))


@pytest.mark.parametrize('shape', [None, (8, 1), (2, 4)])
def test_micro_batches_and_meshes_leave_the_step_as_it_is(shape, whole):
  whole, whole_stats = whole
  c = dataclasses.replace(BASE, micro_batch=4 if shape is None else 8)
  if shape is None:
    parts, stats = train.make_chunk(c)(init(), jnp.asarray(tokens(2)))
  else:
    mesh = meshes.make_mesh(settings.Mesh(*shape))
    with jax.set_mesh(mesh):
      placed = meshes.put(mesh, tokens(2), meshes.SPECS.tokens_SBT)
      state = jax.device_put(init(), meshes.shardings(mesh, init()))
      parts, stats = train.make_chunk(c)(state, placed)
  for k in ('loss', 'grad_norm'):
    np.testing.assert_allclose(stats[k], whole_stats[k], rtol=1e-4)
  for a, b in zip(
    jax.tree.leaves(parts.model), jax.tree.leaves(whole.model), strict=True
  ):
    np.testing.assert_allclose(a, b, atol=2e-4)


def test_bfloat16_trains_and_keeps_float32_weights():
  c = dataclasses.replace(BASE, precision='bfloat16')
  # Attention hands bfloat16 on, which strict promotion forbids beside float32.
  with jax.numpy_dtype_promotion('standard'):
    state, stats = train.make_chunk(c)(
      init(c), jnp.asarray(np.tile(tokens(1), (20, 1, 1)))
    )
  assert stats['loss'][-1] < stats['loss'][0] - 0.3
  for x in jax.tree.leaves((state.model, state.opt_state)):
    assert x.dtype in (jnp.float32, jnp.int32)


def test_total_and_patched_losses_are_sums_of_the_mean():
  model, tokens_BT = init().model, jnp.asarray(tokens(1)[0])
  mean = float(train.mean_loss(model, tokens_BT))
  total = float(train.total_loss(model, tokens_BT))
  assert total == pytest.approx(mean * B * (T - 1), rel=1e-5)
  clean, acts_BTA = train.patched_loss(model, tokens_BT, None)
  assert float(clean) == pytest.approx(total, rel=1e-6)
  np.testing.assert_allclose(acts_BTA, model(tokens_BT)[1], atol=1e-5)
  zeroed, _ = train.patched_loss(model, tokens_BT, jnp.zeros_like)
  assert float(zeroed) != pytest.approx(total, rel=1e-6)


def test_a_loss_that_is_not_finite_is_told():
  state = init()
  state.model.W_U_DV[...] = jnp.full((16, V), jnp.nan, jnp.float32)
  _, stats = two_steps()(state, jnp.asarray(tokens(2)))
  assert not np.asarray(stats['finite']).any()
