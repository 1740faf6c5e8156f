"""Resampling against an oracle of NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from resampled import ARRAYS, WINDOW, A, F, R, arrays, dictionary

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import recipes, state as states, train
from monosem_jax.dictionary.resample import draw, resample
from monosem_jax.dictionary.stream import Rows

DEAD = {
  'some': np.isin(np.arange(F), [0, 3, 4, 11]),
  'all': np.ones(F, bool),
  'none': np.zeros(F, bool),
}


def mid_training(c: settings.Dictionary, dead_F: np.ndarray):
  """A state with no zero anywhere, in which `dead_F` were silent for long."""
  rng = np.random.default_rng(0)
  noise = lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype)
  state = states.init(c, A)
  opt_state = optax.tree.map_params(
    recipes.of(c).optimizer(c, c.lr), noise, state.opt_state
  )
  # On the border: exactly the window is dead, one step less is not.
  silent_F = np.where(dead_F, WINDOW + np.arange(F) % 2 * 7, WINDOW - 1)
  return state.replace(
    sae=jax.tree.map(noise, state.sae),
    opt_state=opt_state,
    silent_F=jnp.asarray(silent_F, jnp.int32),
  )


def adam(state):
  (found,) = [s for s in state.opt_state[1] if hasattr(s, 'mu')]
  return found


def candidates():
  rng = np.random.default_rng(1)
  return rng.random(R) ** 2, np.abs(rng.normal(size=(R, A)))


def batch():
  """A batch of 2 x 10 rows, M x N x A."""
  return np.abs(np.random.default_rng(2).normal(size=(2, 10, A)))


def oracle(c, state, key):
  """The new arrays and moments, one dead feature after the other."""
  loss_R, x_RA = candidates()
  noise_R = np.asarray(jax.random.gumbel(key, (R,), jnp.float64))
  order = np.argsort(-(np.log(loss_R**2) + noise_R), kind='stable')
  dead = np.flatnonzero(np.asarray(state.silent_F) >= c.window)
  w, old = arrays(state.sae), arrays(state.sae)
  mu, nu = arrays(adam(state).mu), arrays(adam(state).nu)
  alive = np.setdiff1d(np.arange(F), dead)
  counted = alive if alive.size else np.arange(F)
  mean = np.mean([np.linalg.norm(w['W_enc_AF'][:, i]) for i in counted])
  for rank, i in enumerate(dead):
    x_A = x_RA[order[rank]]
    if c.placement == 'residual':
      pre_F = (x_A - old['b_dec_A']) @ old['W_enc_AF'] + old['b_enc_F']
      x_A = x_A - np.maximum(pre_F, 0) @ old['W_dec_FA'] - old['b_dec_A']
    elif c.subtract == 'decoder_bias':
      x_A = x_A - w['b_dec_A']
    unit_A = x_A / np.sqrt(x_A @ x_A)
    w['W_dec_FA'][i] = unit_A
    if c.placement == 'residual':
      product_N = np.sort((batch().reshape(-1, A) - w['b_dec_A']) @ unit_A)
      w['W_enc_AF'][:, i] = unit_A
      # 0.3 of 20 rows lie above it: between the 6th and the 7th.
      w['b_enc_F'][i] = -(product_N[-6] + product_N[-7]) / 2
    else:
      w['W_enc_AF'][:, i] = c.encoder_scale * mean * unit_A
      w['b_enc_F'][i] = 0
    for m in (mu, nu):
      m['W_dec_FA'][i] = m['W_enc_AF'][:, i] = m['b_enc_F'][i] = 0
  return w, mu, nu, dead


@pytest.mark.parametrize(
  'changes',
  (
    {'subtract': 'none'},
    {'subtract': 'decoder_bias'},
    {'placement': 'residual'},
  ),
  ids=lambda changes: '-'.join(changes.values()),
)
@pytest.mark.parametrize('which', DEAD)
def test_resampling_writes_what_its_placement_says_and_nothing_else(
  which, changes, double_precision
):
  dead_F = DEAD[which]
  c = dictionary(encoder_scale=0.3, **changes)
  before, key = mid_training(c, dead_F), jax.random.key(7)
  loss_R, x_RA = candidates()
  pick = lambda at_F: jnp.asarray(x_RA)[at_F]
  after, count = resample(
    c,
    recipes.of(c).optimizer(c, c.lr),
    before,
    jnp.asarray(loss_R),
    pick,
    jnp.asarray(batch()),
    key,
    Dot(jnp.dtype('float32')),
  )
  w, mu, nu, dead = oracle(c.resampling, before, key)
  assert int(count) == dead.size == dead_F.sum()
  for got, want in (
    (arrays(after.sae), w),
    (arrays(adam(after).mu), mu),
    (arrays(adam(after).nu), nu),
  ):
    for k in ARRAYS:
      np.testing.assert_allclose(got[k], want[k], rtol=1e-12, err_msg=k)
  # The living, their moments and the decoder bias keep every bit.
  for old, new in (
    (before.sae, after.sae),
    (adam(before).mu, adam(after).mu),
    (adam(before).nu, adam(after).nu),
  ):
    old, new = arrays(old), arrays(new)
    np.testing.assert_array_equal(
      old['W_enc_AF'][:, ~dead_F], new['W_enc_AF'][:, ~dead_F]
    )
    np.testing.assert_array_equal(
      old['b_enc_F'][~dead_F], new['b_enc_F'][~dead_F]
    )
    np.testing.assert_array_equal(
      old['W_dec_FA'][~dead_F], new['W_dec_FA'][~dead_F]
    )
    np.testing.assert_array_equal(old['b_dec_A'], new['b_dec_A'])
  assert int(adam(after).count) == int(adam(before).count)
  np.testing.assert_array_equal(
    after.silent_F, np.where(dead_F, 0, before.silent_F)
  )
  assert (after.l1, after.scale) == (before.l1, before.scale)


@pytest.mark.parametrize('loss', ['mse', 'total'])
def test_candidates_are_measured_by_the_loss_asked_for(loss, double_precision):
  c = dictionary(loss=loss, candidates=24)
  rng = np.random.default_rng(2)
  state = mid_training(c, DEAD['none']).replace(
    l1=jnp.asarray(0.3), scale=jnp.asarray(1.5)
  )
  rows_UGrA = rng.random((3, 2, 8, A))
  order_GR = np.stack([rng.permutation(24) for _ in range(2)])
  # 4 batches of 12 in 2 micro-batches of 2 groups of 3.
  index_SMGn = order_GR.reshape(2, 4, 2, 3).transpose(1, 2, 0, 3)
  rows = Rows(jnp.asarray(rows_UGrA), jnp.asarray(index_SMGn))
  got = train.candidate_losses(c, state, rows, 12, Dot(jnp.dtype('float32')))
  w, want = arrays(state.sae), []
  for s, m, g, n in np.ndindex(2, 2, 2, 3):
    i = index_SMGn[s, m, g, n]
    x_A = 1.5 * rows_UGrA[i // 8, g, i % 8]
    f_F = np.maximum((x_A - w['b_dec_A']) @ w['W_enc_AF'] + w['b_enc_F'], 0)
    mse = np.mean((f_F @ w['W_dec_FA'] + w['b_dec_A'] - x_A) ** 2)
    want.append(mse + (0.3 * f_F.sum() if loss == 'total' else 0))
  np.testing.assert_allclose(got, want, rtol=1e-12)


def test_one_draw_follows_the_square_of_the_loss():
  loss_R, n = jnp.asarray([0.1, 0.5, 1, 1.5, 2, 2.5, 3, 0.7]), 20_000
  keys = jax.random.split(jax.random.key(0), n)
  drawn = jax.vmap(lambda key: draw(key, loss_R, 1)[0])(keys)
  seen_R = np.bincount(drawn, minlength=8)
  p_R = np.asarray(loss_R, np.float64) ** 2
  expected_R = n * p_R / p_R.sum()
  # Chi-square with 7 degrees of freedom: above 30 once in 10,000 seeds.
  assert ((seen_R - expected_R) ** 2 / expected_R).sum() < 30


def test_second_draw_follows_the_square_of_the_loss_among_the_rest():
  loss_R, n = np.asarray([1.0, 2.0, 3.0]), 20_000
  keys = jax.random.split(jax.random.key(1), n)
  drawn = jax.vmap(lambda key: draw(key, jnp.asarray(loss_R, jnp.float32), 2))(
    keys
  )
  seen = np.bincount(np.asarray(drawn) @ [3, 1], minlength=9).reshape(3, 3)
  p = loss_R**2 / (loss_R**2).sum()
  expected = n * p[:, None] * p / (1 - p[:, None])
  off = ~np.eye(3, dtype=bool)
  assert not seen[~off].any()
  chi = ((seen - expected) ** 2 / expected)[off].sum()
  assert chi < 26  # 5 degrees of freedom: once in 10,000 seeds


def test_draws_are_distinct_and_leave_rows_without_loss_for_last():
  # One row holds nearly all the probability; rows above 50 hold none.
  loss_R = jnp.where(jnp.arange(100) < 50, 1.0, 0.0).at[7].set(1e6)
  drawn = np.asarray(draw(jax.random.key(2), loss_R, 60))
  assert len(set(drawn)) == 60
  assert drawn[0] == 7
  assert set(drawn[:50]) == set(range(50))
  everything = np.asarray(draw(jax.random.key(3), loss_R, 100))
  assert sorted(everything) == list(range(100))
