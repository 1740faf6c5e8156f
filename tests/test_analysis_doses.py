"""Doses that can be compared, against brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import doses
from monosem_jax.config import settings
from monosem_jax.transformer import train as lm_train


@pytest.mark.parametrize('n', [1, 7, 40])
@pytest.mark.parametrize('sparse', [False, True])
def test_a_matched_value_moves_as_far_as_is_asked(n, sparse):
  rng = np.random.default_rng(n)
  f_N = rng.normal(size=n) ** 2 * (rng.random(n) < 0.3 if sparse else 1)
  distance_M = np.array([0.3, 1.0, 5.0, 0.3, 1.0, 5.0])
  upwards_M = np.array([True] * 3 + [False] * 3)
  least = np.abs(f_N - np.median(f_N)).mean()
  got_M = doses.matched(f_N, distance_M, upwards_M)
  for value, wanted, upwards in zip(got_M, distance_M, upwards_M, strict=True):
    far = np.abs(value - f_N).mean()
    assert far == pytest.approx(max(wanted, least))
    if wanted > least:
      assert (value > np.median(f_N)) == upwards


def test_no_value_moves_less_than_the_median():
  f_N = np.array([0.0, 0.0, 0.0, 4.0, 9.0])
  got_M = doses.matched(f_N, np.array([0.1, 0.1]), np.array([True, False]))
  assert got_M.tolist() == [0, 0]


def test_the_loss_behind_a_prompt_by_one_pass_for_each_token():
  """Of texts within the context, and longer: windows of it, half to go by."""
  T, V = 8, 13
  lm = lm_train.init(
    settings.Transformer(
      d_model=8, d_mlp=16, n_heads=2, precision='float32', seed=3
    ),
    vocab_size=V,
    context=T,
    separator=0,
  ).model
  logits = jax.jit(lambda lm, tokens_BT: lm(tokens_BT)[0])

  def after(tokens_BT):
    # Of one length, so that it is compiled once; what follows changes nothing.
    length = tokens_BT.shape[1]
    padded_BT = np.pad(tokens_BT, ((0, 0), (0, T - length)))
    return logits(lm, padded_BT)[:, length - 1]

  rng = np.random.default_rng(0)
  for total, start in ((6, 2), (8, 1), (9, 4), (23, 3), (23, 11)):
    tokens_BT = rng.integers(1, V, (3, total)).astype(np.int32)
    want_B = np.zeros(3)
    for t in range(start, total):
      # The window that reaches furthest back of those that end behind t.
      ends = [min(T, total)]
      while ends[-1] < total:
        ends.append(min(ends[-1] + T // 2, total))
      end = next(e for e in ends if e > t)
      first = max(end - T, 0)
      log_p_BV = np.asarray(jax.nn.log_softmax(after(tokens_BT[:, first:t])))
      want_B -= log_p_BV[range(3), tokens_BT[:, t]] / (total - start)
      assert first == 0 or t - first >= T // 2
    got_B = doses.continuation_loss(lm, jnp.asarray(tokens_BT), start=start)
    np.testing.assert_allclose(got_B, want_B, rtol=1e-4)
  # The likeliest continuation costs less than the least likely one.
  likely, unlikely = tokens_BT[:, :3], tokens_BT[:, :3]
  for _ in range(5):
    best = np.asarray(after(likely).argmax(-1))[:, None]
    worst = np.asarray(after(unlikely).argmin(-1))[:, None]
    likely = np.concatenate([likely, best], 1).astype(np.int32)
    unlikely = np.concatenate([unlikely, worst], 1).astype(np.int32)
  loss = lambda x: np.asarray(doses.continuation_loss(lm, x, start=3))
  assert (loss(likely) < loss(unlikely)).all()


def test_a_curve_is_read_at_a_cost_by_straight_lines():
  kl_M = np.array([0.0, 1.0, 3.0, 2.0])
  y_M, se_M = np.array([0.1, 0.3, 0.9, 0.0]), np.array([0.0, 0.1, 0.2, 0.5])
  wanted_W = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 3.1, np.nan])
  y_W, se_W = doses.at_kl(kl_M, y_M, se_M, wanted_W)
  # At 2 the lesser dose counts.
  np.testing.assert_allclose(y_W, [0.1, 0.2, 0.3, 0.6, 0.9, *[np.nan] * 2])
  np.testing.assert_allclose(
    se_W,
    [0, 0.05, 0.1, (0.05**2 + 0.1**2) ** 0.5, 0.2, *[np.nan] * 2],
  )


def row() -> dict:
  """A feature whose doses are not in order; a baseline twice as costly."""
  of = lambda *mean: {
    'mean': np.array(mean, float),
    'se': np.full(len(mean), 0.01),
  }
  unpinned = {'mean': 0.0, 'se': 0.0}
  return {
    # Of the doses 2, -1, 1.
    'kl': {'pinned': of(2, 0.5, 1), 'neuron': of(4, 0.5, 2)},
    'share': {
      'x': {
        'pinned': of(0.8, 0, 0.6),
        'neuron': of(0.5, 0, 0.2),
        'unpinned': unpinned,
      }
    },
    'loss': {
      'pinned': of(5, 3, 4),
      'neuron': of(9, 3, 7),
      'unpinned': {'mean': 3.0, 'se': 0.02},
    },
  }


def test_baselines_are_read_where_they_cost_what_the_feature_does():
  found = doses.equal_kl((2.0, -1.0, 1.0), row(), 'x')
  assert list(found) == ['neuron']
  share, loss = found['neuron']['share'], found['neuron']['loss']
  # KL 2 is the baseline's at dose 1; KL 1 half of the way there.
  np.testing.assert_allclose(share['mean'], [0.2, np.nan, 0.1])
  np.testing.assert_allclose(loss['mean'], [7, np.nan, 5])
  np.testing.assert_allclose(share['se'], [0.01, np.nan, 0.005])
  np.testing.assert_allclose(loss['se'][2], (0.01**2 + 0.005**2) ** 0.5)


def test_all_arms_at_one_dose():
  own = row()
  own['equal_kl'] = doses.equal_kl((2.0, -1.0, 1.0), own, 'x')
  assert doses.at_dose(5.0, (2.0, -1.0, 1.0), own, 'x') is None
  found = doses.at_dose(1.0, (2.0, -1.0, 1.0), own, 'x')
  assert found['kl'] == 1
  assert found['share']['neuron']['mean'] == 0.2
  low, high = found['share']['pinned']['interval']
  assert (low, high) == pytest.approx((0.6 - 0.0196, 0.6 + 0.0196))
  assert found['share_at_equal_kl']['neuron']['mean'] == pytest.approx(0.1)
  assert found['loss_at_equal_kl']['neuron']['mean'] == pytest.approx(5)
