"""Similarities of features of two models, against NumPy on whole matrices."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest
import runs

from monosem_jax.analysis import universality
from monosem_jax.analysis.results.arrays import Pairs
from monosem_jax.analysis.results.universality import AlikePair
from monosem_jax.config import names, settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.features import moments
from monosem_jax.stages.analysis import (
  inputs as analysis_inputs,
  universality as stage,
)
from monosem_jax.transformer import train as lm_train

D, A, V, T, B, BATCHES = 8, 12, 50, 9, 6, 4
DOT = Dot(jnp.dtype(jnp.float32))
FEATURES = 20, 14


def forward(lm, tokens_BT):
  return lm(tokens_BT)[1]


def one(seed: int, features: int):
  """A transformer and a dictionary of it."""
  c = settings.Transformer(
    d_model=D, d_mlp=A, n_heads=2, precision='float32', seed=seed
  )
  lm = lm_train.init(c, vocab_size=V, context=T, separator=0).model
  sae = sae_lib.init(jax.random.key(seed), A, features)
  return lm, sae.replace(b_enc_F=jnp.full(features, 0.01))


@functools.cache
def sides():
  return tuple(
    universality.side(*one(seed, features), block=6)
    for seed, features in enumerate(FEATURES)
  )


def tokens() -> np.ndarray:
  rng = np.random.default_rng(0)
  return rng.integers(1, V, (BATCHES, B, T)).astype(np.int32)


def correlate(of, batches) -> np.ndarray:
  step = moments.make_step(universality.pair(of), DOT)
  return moments.correlation(moments.collect(step, sides(), batches))


def plain(seed: int, features: int):
  """Activations [tokens, F] and logit weights [F, V], by definition."""
  lm, sae = one(seed, features)
  f = []
  for tokens_BT in tokens():
    _, acts_BTA = lm(tokens_BT)
    for acts_TA in np.asarray(acts_BTA, float):
      pre = (acts_TA - sae.b_dec_A) @ sae.W_enc_AF + sae.b_enc_F
      f.append(np.maximum(pre, 0)[:-1])
  rows = np.asarray(sae.W_dec_FA, float) @ lm.blocks[0].mlp.W_out_AD[...]
  rows = (rows - rows.mean(1, keepdims=True)) * lm.ln_f.w_D[...]
  return np.concatenate(f), rows @ np.asarray(lm.W_U_DV[...], float)


def pearson(x_NX, y_NY) -> np.ndarray:
  X = x_NX.shape[1]
  with np.errstate(invalid='ignore', divide='ignore'):
    r = np.corrcoef(x_NX.T, y_NY.T)[:X, X:]
  return np.nan_to_num(r)


@pytest.fixture
def by_definition():
  return [plain(seed, features) for seed, features in enumerate(FEATURES)]


def test_activation_similarity(by_definition):
  of = functools.partial(universality.activations, forward, DOT)
  (f_NX, _), (g_NY, _) = by_definition
  np.testing.assert_allclose(
    correlate(of, tokens()), pearson(f_NX, g_NY), atol=1e-4
  )


def test_attribution_similarity(by_definition):
  of = functools.partial(universality.attributions, forward, DOT)
  next_N = tokens()[:, :, 1:].reshape(-1)
  a = [
    f_NF * (v_FV - np.median(v_FV, axis=1, keepdims=True)).T[next_N]
    for f_NF, v_FV in by_definition
  ]
  got = correlate(of, tokens())
  np.testing.assert_allclose(got, pearson(*a), atol=1e-4)
  # It is another question than that of the activations.
  assert np.abs(got - pearson(*(f for f, _ in by_definition))).max() > 0.1


def test_logit_weight_similarity_is_over_the_vocabulary(by_definition):
  models = [one(seed, features) for seed, features in enumerate(FEATURES)]
  pairs = np.argwhere(np.ones(FEATURES)).T
  rows = [
    (lm, sae.W_dec_FA[at]) for (lm, sae), at in zip(models, pairs, strict=True)
  ]
  got = universality.logit_correlation(*rows, block=7)
  want = pearson(*(v.T for _, v in by_definition))
  np.testing.assert_allclose(got.reshape(FEATURES), want, atol=1e-4)
  # A direction without an effect goes with none.
  none = [(lm, 0 * rows_MA) for lm, rows_MA in rows]
  assert not universality.logit_correlation(rows[0], none[1]).any()


def test_nearest_is_found_on_one_half_and_reported_on_the_other():
  found_XY = np.array([[0.1, 0.9, -0.3], [0.0, 0.0, 0.0], [-0.2, -0.5, -0.1]])
  r_XY = np.array([[0.2, 0.7, 0.6], [0.3, 0.3, 0.3], [-0.1, 0.8, -0.4]])
  live_X, live_Y = np.array([False, True, True]), np.array([True, False, True])
  sets = {'live': (live_X, live_Y), 'all': (live_X | True, live_Y | True)}
  both = universality.nearest([(slice(0, 3), found_XY, r_XY)], sets)
  found, back = both['live']
  np.testing.assert_array_equal(found.index_X, [0, -1, 2])
  np.testing.assert_array_equal(found.found_X, [0.1, np.nan, -0.1])
  np.testing.assert_array_equal(found.r_X, [0.2, np.nan, -0.4])
  # The other way round, where the first feature cannot be found.
  np.testing.assert_array_equal(back.index_X, [-1, -1, -1])
  np.testing.assert_array_equal(np.isnan(back.r_X), True)
  found, back = both['all']
  np.testing.assert_array_equal(found.index_X, [1, -1, 2])
  np.testing.assert_array_equal(found.r_X, [0.7, np.nan, -0.4])
  np.testing.assert_array_equal(back.index_X, [0, 0, -1])
  np.testing.assert_array_equal(back.found_X, [0.1, 0.9, np.nan])
  np.testing.assert_array_equal(back.r_X, [0.2, 0.7, np.nan])
  # Nothing is said of one that does not vary where it is to be reported.
  r_XY[0] = 0
  found, _ = universality.nearest([(slice(0, 3), found_XY, r_XY)], sets)['all']
  np.testing.assert_array_equal(found.index_X, [-1, -1, 2])
  assert np.isnan(found.found_X[0]) and np.isnan(found.r_X[0])
  none = {'none': (live_X, np.zeros(3, bool))}
  dead, _ = universality.nearest([(slice(0, 3), found_XY, r_XY)], none)['none']
  np.testing.assert_array_equal(dead.index_X, -1)


def test_chance_alone_is_reported_as_chance():
  """What the better of many guesses is worth shows on the other half."""
  rng = np.random.default_rng(3)
  x, y = rng.normal(size=(2, 2, 300, 60))
  r = [pearson(x[h], y[h]) for h in (0, 1)]
  every = {'every': (np.ones(60, bool), np.ones(60, bool))}
  near, back = universality.nearest([(slice(0, 60), *r)], every)['every']
  for found in (near, back):
    assert np.median(found.found_X) > 0.1
    assert abs(np.median(found.r_X)) < 0.03


@pytest.mark.parametrize('size', [1, 3, 20])
def test_blocks_find_the_nearest_of_the_whole(size):
  rng = np.random.default_rng(5)
  X, Y = FEATURES
  found_XY, r_XY = rng.uniform(-1, 1, (2, *FEATURES)).astype(np.float32)
  found_XY[4], found_XY[:, 7] = 0, 0
  found_XY[:, 8] = -np.abs(found_XY[:, 8])
  found_XY[4, 8] = 0  # the largest of them: nothing goes with feature 8
  live_X, live_Y = rng.random(X) < 0.7, rng.random(Y) < 0.7
  live_X[4] = True
  blocks = [
    (own, found_XY[own], r_XY[own])
    for i in range(0, X, size)
    for own in [slice(i, min(i + size, X))]
  ]
  sets = {'live': (live_X, live_Y), 'others': (~live_X, ~live_Y)}
  found = universality.nearest(blocks, sets)
  for name, (own_X, own_Y) in sets.items():
    ways = (found_XY, r_XY, own_Y), (found_XY.T, r_XY.T, own_X)
    for near, (looked, r, own) in zip(found[name], ways, strict=True):
      for i, row in enumerate(looked):
        j = max(np.flatnonzero(own), key=lambda j, row=row: row[j])
        got = near.index_X[i], near.found_X[i], near.r_X[i]
        if row[j]:
          assert got == (j, row[j], r[i, j])
        else:
          assert got[0] == -1 and np.isnan(got[1:]).all()
  assert found['live'][1].index_X[[7, 8]].tolist() == [-1, -1]


# Of a run's own activations


def test_pairs_of_a_run_are_those_by_hand():
  """Two dictionaries of one transformer, found and reported on halves."""
  inputs = runs.inputs(runs.at(program.featured(), 'analysis.contexts=800'))
  x = inputs.main
  order = np.random.default_rng(0).permutation(48)
  y = dataclasses.replace(
    x,
    id=names.SetId('A', '9'),
    sae=analysis_inputs.part(x.sae, order).replace(
      b_enc_F=x.sae.b_enc_F[order] - 0.02
    ),
  )
  with jax.set_mesh(inputs.mesh):
    found, tokens = stage._nearest(inputs, 'features', x, y)
    pairs = stage._pairs(inputs, 'features', x, y, found)['live']
    lm = inputs.lm('A')
    f, a = [], []
    for half in (0, 1):
      batches = [np.asarray(t) for (t,) in inputs.batches('test', half=half)]
      f.append([by_hand(lm, s.sae, batches) for s in (x, y)])
      next_N = np.concatenate([t[:, 1:].ravel() for t in batches])
      a.append(
        [
          f_NF * (v - np.median(v, 1, keepdims=True)).T[next_N]
          for f_NF, s in zip(f[-1], (x, y), strict=True)
          for v in [logit_weights(lm, s.sae)]
        ]
      )
  assert tokens == [len(f_NF) for f_NF, _ in f]
  r = [pearson(*both) for both in f]
  r[0][:, ~y.live_F] = -2
  best = r[0].argmax(1)
  there = x.live_F & (r[0].max(1) > 0)
  there &= r[1][np.arange(48), best] != 0
  own = np.flatnonzero(there)
  assert len(own) > 10
  np.testing.assert_array_equal(pairs.feature_M, own)
  np.testing.assert_array_equal(pairs.match_M, best[own])
  at = own, best[own]
  for key, want in (
    ('found', r[0]),
    ('activation', r[1]),
    ('attribution', pearson(*a[1])),
    ('logits', pearson(*(logit_weights(lm, s.sae).T for s in (x, y)))),
  ):
    np.testing.assert_allclose(pairs.columns()[f'{key}_M'], want[at], atol=2e-3)
  said = stage._of_set(pairs, 48)
  assert said.n + said.without == 48
  assert said.median_activation == pytest.approx(np.median(r[1][at]), abs=1e-3)
  low, high = said.interval_activation
  assert low <= said.median_activation <= high


def by_hand(lm, sae, batches) -> np.ndarray:
  W, b = np.asarray(sae.W_enc_AF), np.asarray(sae.b_enc_F)
  parts = []
  for tokens_BT in batches:
    x_BTA = np.asarray(lm(jnp.asarray(tokens_BT))[1], np.float32)[:, :-1]
    x_NA = x_BTA.reshape(-1, len(W)) - np.asarray(sae.b_dec_A)
    parts.append(np.maximum(x_NA @ W + b, 0))
  return np.concatenate(parts)


def logit_weights(lm, sae) -> np.ndarray:
  rows = np.asarray(sae.W_dec_FA) @ np.asarray(lm.blocks[0].mlp.W_out_AD[...])
  rows = (rows - rows.mean(1, keepdims=True)) * np.asarray(lm.ln_f.w_D[...])
  return rows @ np.asarray(lm.W_U_DV[...])


def test_pairs_alike_where_they_fire_alone_are_counted_and_listed():
  table = types.SimpleNamespace(density_F=np.arange(9) / 1_000)
  x = types.SimpleNamespace(run='A/1', table=table)
  columns = Pairs(
    feature_M=np.array([1, 3, 5, 8]),
    match_M=np.array([2, 0, 4, 4]),
    found_M=np.array([0.9, 0.9, 0.9, 0.9]),
    activation_M=np.array([0.95, 0.9, 0.81, 0.79]),
    logits_M=np.array([0.1, -0.3, 0.9, -0.9]),
    attribution_M=np.array([0.9, 0.8, 0.7, 0.6]),
  )
  said = stage._listed(x, types.SimpleNamespace(run='B/1'), columns)
  assert [p.feature for p in said.outliers] == ['A/1/3', 'A/1/1']
  assert said.outliers[0] == AlikePair(
    feature='A/1/3', match='B/1/0', density=0.003, found=0.9,
    activation=0.9, logits=-0.3, attribution=0.8,
  )  # fmt: skip
  of_set = stage._of_set(columns, 9)
  assert (of_set.alike, of_set.alike_but_apart) == (3, 2)
  assert (of_set.n, of_set.without) == (4, 5)
