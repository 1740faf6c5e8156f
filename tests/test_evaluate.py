"""What a dictionary preserves, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.dictionary.evaluate import evaluate, make_sums
from monosem_jax.dictionary.sae import SAE
from monosem_jax.transformer import train as lm_train, weights

V, T, A = 40, 12, 24
DOT = Dot(jnp.dtype(jnp.float32))


@pytest.fixture(scope='module')
def lm():
  c = settings.Transformer(
    d_model=16, d_mlp=A, n_heads=2, precision='float32', lr=1e-2
  )
  abstract = jax.eval_shape(
    lambda: lm_train.init(c, vocab_size=V, context=T, separator=0).model
  )
  rng = np.random.default_rng(3)
  return weights.load(
    abstract,
    {
      name: np.float32(0.6 * rng.normal(size=x.shape))
      for name, x in weights.tensors(abstract).items()
    },
  )


@pytest.fixture(scope='module')
def batches():
  rng = np.random.default_rng(0)
  # The last batch is smaller, as at the end of a store.
  return [rng.integers(1, V, size=(n, T)).astype(np.int32) for n in (8, 8, 4)]


def identity() -> SAE:
  return SAE(jnp.eye(A), jnp.zeros(A), jnp.eye(A), jnp.zeros(A))


def nothing() -> SAE:
  return jax.tree.map(jnp.zeros_like, identity())


def random() -> SAE:
  rng = np.random.default_rng(1)
  sae = sae_lib.init(jax.random.key(0), A, 50)
  bias_F = rng.normal(size=50) * 0.2 - 0.2
  bias_F[:5] = -10.0  # never fire
  return sae.replace(
    b_enc_F=jnp.asarray(bias_F, jnp.float32),
    b_dec_A=jnp.asarray(rng.random(A) * 0.2, jnp.float32),
  )


@pytest.fixture(scope='module')
def results(lm, batches):
  return evaluate(
    make_sums(lm_train.patched_loss, DOT),
    lm,
    {'identity': identity(), 'nothing': nothing(), 'random': random()},
    iter(batches),
  )


def test_the_identity_recovers_everything(results):
  numbers = results['identity']
  assert numbers['loss_recovered'] == 1
  assert numbers['explained_variance'] == 1
  assert numbers['mse'] == 0
  assert numbers['loss_reconstructed'] == numbers['loss_clean']


def test_the_zero_dictionary_recovers_nothing(results):
  numbers = results['nothing']
  assert numbers['loss_recovered'] == 0
  assert numbers['l0'] == 0 and numbers['l1_norm'] == 0
  assert numbers['silent'] == A
  # About the mean: predicting 0 is worse than predicting the mean.
  assert numbers['explained_variance'] < 0


def nll(lm, batches, patch) -> float:
  """Mean of -log p(next token), by a softmax in float64."""
  total, predicted = 0.0, 0
  for tokens_BT in batches:
    logits_BTV = np.asarray(lm(jnp.asarray(tokens_BT), patch)[0], np.float64)
    p_BTV = np.exp(logits_BTV - logits_BTV.max(-1, keepdims=True))
    p_BTV /= p_BTV.sum(-1, keepdims=True)
    for b, t in np.ndindex(tokens_BT.shape[0], T - 1):
      total -= np.log(p_BTV[b, t, tokens_BT[b, t + 1]])
      predicted += 1
  return total / predicted


def test_numbers_agree_with_numpy_on_every_token(lm, batches, results):
  numbers, sae = results['random'], random()
  w = jax.tree.map(lambda x: np.asarray(x, np.float64), sae)

  def features(x_NA):
    return np.maximum((x_NA - w.b_dec_A) @ w.W_enc_AF + w.b_enc_F, 0)

  acts = [np.asarray(lm(jnp.asarray(b))[1], np.float64) for b in batches]
  x_NA = np.concatenate([a.reshape(-1, A) for a in acts])
  f_NF = features(x_NA)
  error_NA = f_NF @ w.W_dec_FA + w.b_dec_A - x_NA
  spread_NA = x_NA - x_NA.mean(0)
  want = {
    'l0': (f_NF > 0).sum(1).mean(),
    'l1_norm': f_NF.sum(1).mean(),
    'mse': (error_NA**2).mean(),
    'explained_variance': 1 - (error_NA**2).sum() / (spread_NA**2).sum(),
    'sample_tokens': 20 * T,
    'silent': (f_NF.max(0) == 0).sum(),
  }

  def reconstruct(acts_BTA):
    x_NA = np.asarray(acts_BTA, np.float64).reshape(-1, A)
    recon_NA = features(x_NA) @ w.W_dec_FA + w.b_dec_A
    return jnp.asarray(recon_NA.reshape(acts_BTA.shape), jnp.float32)

  clean = nll(lm, batches, None)
  zero = nll(lm, batches, jnp.zeros_like)
  reconstructed = nll(lm, batches, reconstruct)
  want |= {
    'loss_clean': clean,
    'loss_zero_ablated': zero,
    'loss_reconstructed': reconstructed,
  }
  for name, value in want.items():
    assert numbers[name] == pytest.approx(value, rel=1e-5), name
  recovered = (zero - reconstructed) / (zero - clean)
  assert numbers['loss_recovered'] == pytest.approx(recovered, rel=1e-3)
  # The case is not a corner: some features fire, some never.
  assert 5 <= want['silent'] < 50 and 1 < want['l0'] < 40
  assert abs(zero - clean) > 0.01
  np.testing.assert_array_equal(numbers['fired_F'], (f_NF > 0).sum(0))


@pytest.mark.parametrize('slope', [-1.0, 0.0, 1.0])
def test_nothing_is_recovered_where_ablation_does_no_harm(slope):
  """A loss that is linear in the activations, and a dictionary of half."""
  tokens_BT = np.random.default_rng(0).integers(1, V, (4, T)).astype(np.int32)

  def patched_loss(lm, tokens_BT, patch):
    # Their mean is 1.
    at_T = jnp.asarray(np.float32(2 * (np.arange(T) % 2)))
    acts_BTA = jnp.broadcast_to(at_T[:, None], (*tokens_BT.shape, A))
    own_BTA = acts_BTA if patch is None else patch(acts_BTA)
    return tokens_BT.shape[0] * (T - 1) * (3 - slope * own_BTA.mean()), acts_BTA

  half = nothing().replace(b_dec_A=jnp.full(A, 0.5))
  found = evaluate(
    make_sums(patched_loss, DOT), None, {'half': half}, [tokens_BT]
  )
  numbers = found['half']
  assert numbers['loss_zero_ablated'] == pytest.approx(3)
  assert numbers['loss_clean'] == pytest.approx(3 - slope)
  if slope > 0:
    assert numbers['loss_recovered'] == pytest.approx(0.5)
    assert numbers['loss_recovered_reason'] == ''
  else:
    assert numbers['loss_recovered'] is None
    assert 'does not raise the loss' in numbers['loss_recovered_reason']
    assert '3.0000 nats' in numbers['loss_recovered_reason']


def test_numbers_are_plain_for_json(results):
  for numbers in results.values():
    for name, value in numbers.items():
      if not name.endswith('_reason'):
        assert name == 'fired_F' or type(value) in (float, int)
