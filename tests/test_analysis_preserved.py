"""What is preserved, by subset, against whole passes in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax import settings
from monosem_jax.analysis import preserved
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.features.moments import collect
from monosem_jax.precision import Dot
from monosem_jax.transformer import train

V, T, A, F = 40, 9, 24, 30
DOT = Dot(jnp.dtype(jnp.float32))


@pytest.fixture(scope='module')
def case():
  c = settings.Transformer(
    d_model=16, d_mlp=A, n_heads=2, precision='float32', seed=3
  )
  lm = train.init(c, vocab_size=V, context=T, separator=0).model
  lm = jax.tree.map(lambda x: 3 * x, lm)
  saes = {
    name: sae_lib.init(jax.random.key(i), A, F)
    for i, name in enumerate(('A/1', 'A/2'))
  }
  rng = np.random.default_rng(0)
  tokens = rng.integers(1, V, (8, T)).astype(np.int32)
  # The third subset has tokens but predicts none; the fourth has none.
  subset = rng.integers(2, size=(8, T)).astype(np.int32)
  subset[0, 0] = 2
  mean_A = jnp.asarray(rng.random(A), jnp.float32)
  sums = collect(
    preserved.make_step(DOT, 4),
    (lm, mean_A, saes),
    [(tokens[:4], subset[:4]), (tokens[4:], subset[4:])],
  )
  found = preserved.numbers(sums, ['x', 'y', 'first', 'none'])
  return lm, saes, tokens, subset, mean_A, found


def loss_and_p(lm, tokens, patch):
  logits = np.asarray(lm(tokens, patch)[0], np.float64)[:, :-1]
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  own = np.take_along_axis(log_p, tokens[:, 1:, None], -1)[..., 0]
  return -own, log_p


@pytest.mark.parametrize('subset', [None, 0, 1])
@pytest.mark.parametrize('name', ['A/1', 'A/2'])
def test_the_numbers_are_those_of_whole_passes(case, name, subset):
  lm, saes, tokens, subset_BT, mean_A, found = case
  own = found[name]
  mine = np.ones_like(subset_BT, bool)
  if subset is not None:
    own, mine = own['subsets']['xy'[subset]], subset_BT == subset
  after = mine[:, 1:]
  x_BTA = np.asarray(lm(tokens)[1], np.float64)
  sae = jax.tree.map(lambda x: np.asarray(x, np.float64), saes[name])
  f = np.maximum((x_BTA - sae.b_dec_A) @ sae.W_enc_AF + sae.b_enc_F, 0)
  recon = f @ sae.W_dec_FA + sae.b_dec_A
  clean, log_p = loss_and_p(lm, tokens, None)
  zero, _ = loss_and_p(lm, tokens, jnp.zeros_like)
  mean, _ = loss_and_p(lm, tokens, lambda x: jnp.zeros_like(x) + mean_A)
  with_it, own_log_p = loss_and_p(
    lm, tokens, lambda x: jnp.asarray(recon, x.dtype)
  )
  kl = (np.exp(log_p) * (log_p - own_log_p)).sum(-1)
  x = x_BTA[mine]
  want = {
    'tokens': mine.sum(),
    'loss_clean': clean[after].mean(),
    'loss_zero': zero[after].mean(),
    'loss_mean': mean[after].mean(),
    'loss_reconstructed': with_it[after].mean(),
    'loss_recovered': (zero - with_it)[after].sum()
    / (zero - clean)[after].sum(),
    'loss_recovered_mean': (mean - with_it)[after].sum()
    / (mean - clean)[after].sum(),
    'kl': kl[after].mean(),
    'explained_variance': 1
    - ((recon - x_BTA)[mine] ** 2).sum() / ((x - x.mean(0)) ** 2).sum(),
    'l0': (f[mine] > 0).sum(1).mean(),
    'l1_norm': f[mine].sum(1).mean(),
  }
  for key, value in want.items():
    np.testing.assert_allclose(own[key], value, rtol=2e-3, err_msg=key)


def test_subsets_that_cannot_be_measured_are_not(case):
  found = case[-1]['A/1']['subsets']
  assert set(found) == {'x', 'y', 'first'}
  assert found['first']['tokens'] == 1
  assert found['first']['loss_recovered'] is None
  assert found['first']['kl'] is None
  assert found['first']['explained_variance'] is None
  assert found['first']['l0'] >= 0
