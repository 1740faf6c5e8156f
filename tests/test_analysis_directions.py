"""Logit weights: their moments, and their check, against plain NumPy."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from monosem_jax.analysis import directions
from monosem_jax.analysis.results.features import Agreement
from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.features.moments import collect
from monosem_jax.transformer import train

V, T, D, A, F = 50, 8, 16, 24, 10
DOT = Dot(jnp.dtype(jnp.float32))


@flax.struct.dataclass
class Direct:
  """A transformer whose logit weights are the rows themselves."""

  def logit_weights(self, rows_FV):
    return rows_FV


def transformer():
  c = settings.Transformer(
    d_model=D, d_mlp=A, n_heads=2, precision='float32', seed=3
  )
  return train.init(c, vocab_size=V, context=T, separator=0).model


def test_skew_and_kurtosis_are_scipys():
  rng = np.random.default_rng(0)
  v_FV = rng.exponential(size=(F, V)).astype(np.float32)
  v_FV[3] = 0.5
  known_V = rng.random(V) < 0.8
  found = directions.shape(Direct(), jnp.asarray(v_FV), known_V, block=4)
  others = np.arange(F) != 3
  own = v_FV[others][:, known_V].astype(np.float64)
  np.testing.assert_allclose(
    found['skew_F'][others], stats.skew(own, axis=1), rtol=1e-3
  )
  np.testing.assert_allclose(
    found['kurtosis_F'][others],
    stats.kurtosis(own, axis=1, fisher=False),
    rtol=1e-3,
  )
  assert np.isnan(found['skew_F'][3])


@pytest.mark.parametrize('strength', [1.0, 30.0])
def test_agreement_is_that_of_all_pairs(strength):
  """With room for all pairs nothing is drawn: the loop below sees the same."""
  lm = transformer()
  sae = sae_lib.init(jax.random.key(0), A, F)
  sae = sae.replace(W_dec_FA=strength * sae.W_dec_FA)
  rng = np.random.default_rng(1)
  tokens = rng.integers(1, V, (4, T)).astype(np.int32)
  rows_FD = directions.rows(lm, sae)
  step = directions.make_check(DOT, pairs=2 * T * F)
  key = jax.random.key(0)
  found = directions.agreement(
    collect(step, (lm, sae, rows_FD), [(tokens[:2], key), (tokens[2:], key)])
  )
  x_BTD, acts_BTA = (np.asarray(x) for x in lm.residual(tokens))
  f_BTF = np.asarray(
    sae_lib.encode(sae, jnp.asarray(acts_BTA.reshape(-1, A)), DOT)
  ).reshape(4, T, F)
  own, xs, ys = [], [], []

  @jax.jit
  def change(lm, b, t, removed_A):
    without = lambda acts_BTA: acts_BTA.at[b, t].add(-removed_A)
    return (lm(tokens, without)[0] - lm(tokens)[0])[b, t]

  for b, t, i in np.argwhere(f_BTF > 0):
    f = f_BTF[b, t, i]
    change_V = np.asarray(change(lm, b, t, f * sae.W_dec_FA[i]))
    v_V = np.asarray(lm.logit_weights(sae.W_dec_FA[i : i + 1]))[0]
    linear_V = -f * v_V / np.sqrt(x_BTD[b, t].var() + 1e-5)
    x, y = linear_V - linear_V.mean(), change_V - change_V.mean()
    own.append((x @ y) / np.sqrt((x @ x) * (y @ y)))
    xs.append(x)
    ys.append(y)
  x, y = np.concatenate(xs), np.concatenate(ys)
  assert found.pairs == len(own) > 40
  np.testing.assert_allclose(found.mean_correlation, np.mean(own), atol=2e-3)
  np.testing.assert_allclose(
    found.correlation, x @ y / np.sqrt((x @ x) * (y @ y)), atol=2e-3
  )
  np.testing.assert_allclose(found.slope, (x @ y) / (x @ x), rtol=5e-3)


def test_where_nothing_fires_there_is_nothing_to_agree():
  lm = transformer()
  sae = sae_lib.init(jax.random.key(0), A, F)
  sae = sae.replace(b_enc_F=jnp.full(F, -1e3))
  tokens = np.ones((2, T), np.int32)
  found = directions.agreement(
    collect(
      directions.make_check(DOT, 5),
      (lm, sae, directions.rows(lm, sae)),
      [(tokens, jax.random.key(0))],
    )
  )
  assert found == Agreement(0, None, None, None)
