"""What is preserved, by subset, against whole passes in NumPy."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import baselines, intervals, preserved
from monosem_jax.analysis.results.numbers import to_json
from monosem_jax.analysis.results.preserved import Margin
from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.features.moments import collect
from monosem_jax.transformer import train

V, T, A, F = 40, 9, 24, 30
DOT = Dot(jnp.dtype(jnp.float32))


def as_written(sums, names: list[str]):
  """The numbers as they stand in the file."""
  return to_json(preserved.numbers(sums, names, intervals.over_groups))


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
  # Drawn from the model, so that to ablate it does harm.
  tokens = rng.integers(1, V, (8, T)).astype(np.int32)
  for t in range(1, T):
    chance = np.float64(jax.nn.softmax(lm(tokens)[0][:, t - 1]))
    chance /= chance.sum(1, keepdims=True)
    tokens[:, t] = [rng.choice(V, p=p) for p in chance]
  # The third subset has tokens but predicts none; the fourth has none.
  subset = rng.integers(2, size=(8, T)).astype(np.int32)
  subset[0, 0] = 2
  # Groups of documents; nothing is of the last one.
  group = rng.integers(5, size=(8, T)).astype(np.int32)
  mean_A = jnp.asarray(rng.random(A), jnp.float32)
  sums = collect(
    preserved.make_step(baselines.reconstruct, DOT, 4, 6),
    (lm, mean_A, saes),
    [(tokens[own], subset[own], group[own]) for own in (slice(4), slice(4, 8))],
  )
  found = as_written(sums, ['x', 'y', 'first', 'none'])
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
  assert (
    found['first']['loss_recovered_reason']
    == 'the sample has no predicted token'
  )
  assert found['first']['kl'] is None
  assert found['first']['explained_variance'] is None
  assert found['first']['l0'] >= 0


@flax.struct.dataclass
class Toy:
  """Activations by token, and logits that are their sum for one token."""

  acts_VA: jax.Array
  read_AV: jax.Array

  def __call__(self, tokens_BT, patch=None):
    acts_BTA = self.acts_VA[tokens_BT]
    own_BTA = acts_BTA if patch is None else patch(acts_BTA)
    return own_BTA @ self.read_AV, acts_BTA


def toy(read: float, groups: int = 4):
  """Numbers of a dictionary of the mean, where a neuron says a token's logit.

  Each token is followed by token 2; only neuron 0 is read, by it.
  """
  read_AV = np.zeros((3, 5), np.float32)
  read_AV[0, 2] = read
  acts_VA = np.random.default_rng(0).random((5, 3)).astype(np.float32) + 1
  tokens = np.full((8, 6), 2, np.int32)
  tokens[:, 0] = np.arange(8) % 5
  group = np.broadcast_to(np.arange(8)[:, None] % groups, (8, 6))
  half = sae_lib.init(jax.random.key(0), 3, 4).replace(
    W_dec_FA=jnp.zeros((4, 3)), b_dec_A=jnp.asarray([0.5, 0, 0])
  )
  mean_A = jnp.asarray([3.0, 0, 0])
  sums = collect(
    preserved.make_step(baselines.reconstruct, DOT, 1, groups),
    (Toy(jnp.asarray(acts_VA), jnp.asarray(read_AV)), mean_A, {'A/1': half}),
    [(tokens, np.zeros_like(tokens), group.astype(np.int32))],
  )
  own = as_written(sums, ['x'])['A/1']
  nll = lambda a: np.log(np.exp(read * a) + 4) - read * a
  clean = nll(acts_VA[tokens[:, :-1], 0].astype(float)).mean()
  return own, nll, clean


def test_nothing_is_recovered_where_ablation_lowers_the_loss():
  own, nll, clean = toy(read=-1.0)
  assert own['loss_zero'] == pytest.approx(nll(0.0), rel=1e-4)
  assert own['loss_zero'] < own['loss_clean'] < own['loss_mean']
  assert own['loss_recovered'] is None
  assert own['loss_recovered_interval'] is None
  assert 'zero ablation does not raise' in own['loss_recovered_reason']
  # The mean is further off than the activations, and does harm.
  want = (nll(3.0) - nll(0.5)) / (nll(3.0) - clean)
  assert own['loss_recovered_mean'] == pytest.approx(want, rel=1e-4)
  assert own['loss_recovered_mean_reason'] == ''
  # The other way round it is the mean that does none.
  own, nll, clean = toy(read=1.0)
  want = (nll(0.0) - nll(0.5)) / (nll(0.0) - clean)
  assert own['loss_recovered'] == pytest.approx(want, rel=1e-4)
  assert own['loss_recovered_mean'] is None
  assert 'mean ablation does not raise' in own['loss_recovered_mean_reason']
  # One group of documents has no interval, and says so.
  own, _, _ = toy(read=1.0, groups=1)
  assert own['groups'] == 1
  assert own['loss_recovered'] is not None
  assert own['loss_recovered_interval'] is None
  assert 'too few groups' in own['loss_recovered_reason']


def sums_of_groups(rng, groups: int) -> dict:
  """One subset of groups that differ, and two without a token behind them."""
  tokens = rng.integers(50, 400, groups).astype(float)
  clean, harm = 3 + rng.normal(size=groups), rng.gamma(4, 0.1, groups)
  x_GA = tokens[:, None] * (1 + 0.3 * rng.normal(size=(groups, 3)))
  x_squared = (x_GA**2).sum(1) / tokens + tokens * rng.gamma(8, 0.3, groups)
  row = lambda x: np.concatenate([x, np.zeros(2)])[None]
  return {
    'tokens': row(tokens),
    'predicted': row(tokens - 1),
    'clean': row((tokens - 1) * clean),
    'zero': row((tokens - 1) * (clean + harm)),
    'mean': row((tokens - 1) * (clean + harm / 2)),
    'x_squared': row(x_squared),
    'x_KA': x_GA.sum(0, keepdims=True),
    'x_GA': np.concatenate([x_GA, np.zeros((2, 3))]),
    'dictionaries': {
      'A/1': {
        'loss': row((tokens - 1) * (clean + harm * rng.beta(2, 8, groups))),
        'kl': row((tokens - 1) * rng.gamma(4, 0.05, groups)),
        'squared_error': row(tokens * rng.gamma(4, 0.1, groups)),
        'active': row(tokens * rng.gamma(9, 1, groups)),
        'l1_norm': row(tokens),
      }
    },
  }


def test_intervals_are_those_of_a_bootstrap_over_groups():
  rng = np.random.default_rng(1)
  G = 40
  sums = sums_of_groups(rng, G)
  own = as_written(sums, ['x'])['A/1']
  assert own['groups'] == G
  more = ('x_KA', 'x_GA', 'dictionaries')
  mine = {k: x for k, x in sums.items() if k not in more}
  mine |= sums['dictionaries']['A/1']
  drawn = {key: [] for key in ('loss_recovered', 'explained_variance', 'l0')}
  for _ in range(4_000):
    who = rng.integers(G, size=G)
    s = {k: x[0, who].sum() for k, x in mine.items()}
    x_A = sums['x_GA'][who].sum(0)
    drawn['loss_recovered'].append(
      (s['zero'] - s['loss']) / (s['zero'] - s['clean'])
    )
    variance = s['x_squared'] - (x_A**2).sum() / s['tokens']
    drawn['explained_variance'].append(1 - s['squared_error'] / variance)
    drawn['l0'].append(s['active'] / s['tokens'])
  for key, values in drawn.items():
    low, high = own[f'{key}_interval']
    want = np.percentile(values, [2.5, 97.5])
    wide = want[1] - want[0]
    np.testing.assert_allclose([low, high], want, atol=0.12 * wide, err_msg=key)
    assert low < own[key] < high


def test_intervals_cover_what_the_groups_were_drawn_from():
  # Of L0, whose truth is the mean of tokens x gamma over that of tokens.
  covered = 0
  for seed in range(60):
    sums = sums_of_groups(np.random.default_rng(seed), 60)
    own = as_written(sums, ['x'])['A/1']
    low, high = own['l0_interval']
    covered += low < 9 < high
  assert covered >= 51


def test_a_margin_is_a_difference_on_the_same_documents():
  rng = np.random.default_rng(2)
  sums = sums_of_groups(rng, 30)
  loss = sums['dictionaries']['A/1']['loss']
  harm = sums['zero'] - sums['clean']
  # One that is always as much worse, and one that is so in half the groups.
  half = np.where(np.arange(32) % 2, 0.4, 0.0)
  sums['dictionaries']['A/pca'] = {'loss': loss + 0.1 * harm}
  sums['dictionaries']['A/ica'] = {'loss': loss + half * harm}
  found = preserved.margins(sums, 'A/1', intervals.over_groups)
  assert set(found) == {'A/pca', 'A/ica'}
  np.testing.assert_allclose(found['A/pca'].margin, 0.1)
  np.testing.assert_allclose(found['A/pca'].margin_interval, 0.1)
  want = (half * harm).sum() / harm.sum()
  assert found['A/ica'].margin == pytest.approx(want)
  drawn = []
  for _ in range(4_000):
    who = rng.integers(30, size=30)
    drawn.append((half * harm)[0, who].sum() / harm[0, who].sum())
  want = np.percentile(drawn, [2.5, 97.5])
  np.testing.assert_allclose(
    found['A/ica'].margin_interval, want, atol=0.12 * (want[1] - want[0])
  )
  sums['zero'] = sums['clean'] - 1
  found = preserved.margins(sums, 'A/1', intervals.over_groups)
  assert found['A/pca'] == Margin(None, None)
