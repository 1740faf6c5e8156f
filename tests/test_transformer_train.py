"""Training steps of the transformer, against NumPy where it has an answer."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
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


def test_the_penalty_is_what_each_neuron_adds_to_the_stream():
  model, tokens_BT = init().model, jnp.asarray(tokens(1)[0])
  loss, penalty = train.loss_and_penalty(model, tokens_BT)
  assert float(loss) == pytest.approx(float(train.mean_loss(model, tokens_BT)))
  x_BTD, acts_BTA = (np.asarray(x) for x in model.residual(tokens_BT))
  W_out_AD = weights.tensors(model)['blocks.0.mlp.W_out_AD']
  want = [
    act * np.linalg.norm(W_out_AD[j]) / x_BTD[b, t].std() / (B * T)
    for (b, t, j), act in np.ndenumerate(acts_BTA)
  ]
  assert float(penalty) == pytest.approx(sum(want), rel=1e-4)


def test_the_penalty_cannot_be_hidden_in_a_scale():
  tokens_BT = jnp.asarray(tokens(1)[0])

  def scaled(**factors):
    """The model with some weights times something."""
    model = init().model
    found = {
      name: np.asarray(x) * factors.get(name.rpartition('.')[2], 1)
      for name, x in weights.tensors(model).items()
    }
    model = weights.load(model, found)
    return *train.loss_and_penalty(model, tokens_BT), model(tokens_BT)[0]

  # In front of a norm 1e-5 is added to variances, so the stream is made large.
  stream = ('W_E_VD', 'W_pos_TD', 'W_O_HKD', 'b_O_D', 'W_out_AD', 'b_out_D')
  _, penalty, logits_BTV = scaled(**dict.fromkeys(stream, 100))
  for factors in (
    dict.fromkeys(stream, 10_000),
    dict.fromkeys(stream, 100)
    | {'W_in_DA': 1 / 8, 'b_in_A': 1 / 8, 'W_out_AD': 800},
  ):
    _, same, same_logits_BTV = scaled(**factors)
    np.testing.assert_allclose(same_logits_BTV, logits_BTV, atol=1e-3)
    assert float(same) == pytest.approx(float(penalty), rel=1e-3)
  # What does change: more of the stream from neurons.
  more = scaled(**dict.fromkeys(stream, 100) | {'W_out_AD': 200})[1]
  assert float(more) > 1.2 * float(penalty)


def test_a_penalised_step_follows_the_gradient_of_loss_and_penalty():
  c = dataclasses.replace(BASE, activation_penalty=0.5, micro_batch=4)
  tokens_BT, model = jnp.asarray(tokens(1)[0]), init().model
  found = weights.tensors(model)

  @jax.jit
  def objective(found):
    parts = train.loss_and_penalty(weights.load(model, found), tokens_BT)
    return parts[0] + 0.5 * parts[1], parts

  (_, (loss, penalty)), grads = jax.jit(
    jax.value_and_grad(objective, has_aux=True)
  )(found)
  # Finite differences, in front of the penalised activations and behind them.
  rng = np.random.default_rng(1)
  for name in ('blocks.0.mlp.b_in_A', 'blocks.0.mlp.W_out_AD', 'W_U_DV'):
    along = 1e-2 * np.float32(rng.normal(size=found[name].shape))
    ahead, behind = (
      objective(found | {name: found[name] + h * along})[0] for h in (1, -1)
    )
    slope = float((grads[name] * along).sum())
    assert float(ahead - behind) / 2 == pytest.approx(slope, rel=0.03), name
  norm = math.sqrt(sum(float(jnp.square(g).sum()) for g in grads.values()))
  _, stats = train.make_chunk(c)(init(c), tokens_BT[None])
  np.testing.assert_allclose(stats['loss'], [loss], rtol=1e-5)
  np.testing.assert_allclose(stats['activation_penalty'], [penalty], rtol=1e-5)
  np.testing.assert_allclose(stats['grad_norm'], [norm], rtol=1e-4)


def test_a_penalty_lowers_itself_and_a_row_of_zeros_has_a_gradient():
  c = dataclasses.replace(BASE, activation_penalty=1.0)
  state = init(c)
  W_out_AD = state.model.blocks[0].mlp.W_out_AD
  W_out_AD[...] = W_out_AD[...].at[0].set(0)
  tokens_SBT = jnp.asarray(np.tile(tokens(1), (20, 1, 1)))
  _, stats = train.make_chunk(c)(state, tokens_SBT)
  assert stats['finite'].all()
  assert stats['activation_penalty'][-1] < 0.5 * stats['activation_penalty'][0]
  # `loss` is without it, and where there is none it is not spoken of.
  assert stats['loss'][0] < math.log(V) + 0.7
  _, plain = two_steps()(init(), tokens_SBT[:2])
  assert 'activation_penalty' not in plain


def one_step(graph: bool) -> dict[str, np.ndarray]:
  """One training step, and the gradient by nnx' own transformations."""
  tokens_SBT = jnp.asarray(tokens(1))
  with nnx.set_graph_mode(graph):
    made = train.init(BASE, vocab_size=V, context=T, separator=0)
    loss, grads = nnx.jit(nnx.value_and_grad(train.mean_loss))(
      made.model, tokens_SBT[0]
    )
    state, stats = train.make_chunk(BASE)(made, tokens_SBT)
  found = {'state': state, 'stats': stats, 'loss': loss}
  found['grads'] = jax.tree.leaves(grads)  # a State, and a Transformer
  leaves, _ = jax.tree_util.tree_flatten_with_path(found)
  return {jax.tree_util.keystr(p): np.asarray(x) for p, x in leaves}


def test_a_step_is_the_same_in_the_graph_and_the_tree_mode_of_nnx():
  graph, tree = one_step(True), one_step(False)
  assert graph.keys() == tree.keys()
  assert len(graph) > 60
  for key, x in graph.items():
    np.testing.assert_array_equal(x, tree[key], err_msg=key)
  assert graph["['loss']"] == pytest.approx(graph["['stats']['loss']"][0])
