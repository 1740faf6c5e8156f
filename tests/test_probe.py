"""Probing against NumPy, and against second passes of the whole transformer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_transformer import A, D, T, V, transformer

from monosem_jax.analysis import ablation, probe
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary.sae import SAE
from monosem_jax.features.logits import logit_columns
from monosem_jax.transformer.model import Transformer

F, L, N = 30, 6, 7
DOT = Dot(jnp.dtype(jnp.float32))


def dictionary(width: int) -> SAE:
  rng = np.random.default_rng(2)
  draw = lambda *shape: jnp.asarray(rng.normal(0, 0.5, shape), jnp.float32)
  return SAE(draw(width, F), draw(F) - 2, draw(F, width), draw(width))


def text(n: int = N) -> np.ndarray:
  """Tokens, the last of which has no other behind it."""
  return np.random.default_rng(3).integers(1, V, n).astype(np.int32)


@functools.partial(jax.jit, static_argnums=2)
def run(lm, tokens_BT, patch, args):
  own = None if patch is None else functools.partial(patch, args)
  return lm(tokens_BT, own)


def minus(args, acts_BTA):
  """A whole pass without a feature, at all positions."""
  f_T, row_A = args
  return acts_BTA - f_T[None, :, None] * row_A


def losses(logits_TV: np.ndarray, tokens_T: np.ndarray) -> np.ndarray:
  logits_TV = logits_TV.astype(np.float64)[:-1]
  top_T1 = logits_TV.max(1, keepdims=True)
  log_p_TV = logits_TV - top_T1
  log_p_TV -= np.log(np.exp(log_p_TV).sum(1, keepdims=True))
  return -log_p_TV[np.arange(len(log_p_TV)), tokens_T[1:]]


def oracle(lm, sae, tokens_T) -> dict[str, np.ndarray]:
  logits_BTV, acts_BTA = run(lm, tokens_T[None], None, None)
  x_TA = np.asarray(acts_BTA[0], np.float64)
  W_enc, b_enc, W_dec, b_dec = (
    np.asarray(x, np.float64)
    for x in (sae.W_enc_AF, sae.b_enc_F, sae.W_dec_FA, sae.b_dec_A)
  )
  f_TF = np.maximum((x_TA - b_dec) @ W_enc + b_enc, 0)
  rows_FD = W_dec
  if lm.site[0] == 'mlp':
    W_out = lm.blocks[lm.site[1]].mlp.W_out_AD[...]
    rows_FD = rows_FD @ np.asarray(W_out, np.float64)
  rows_FD = rows_FD - rows_FD.mean(1, keepdims=True)
  rows_FD = rows_FD * np.asarray(lm.ln_f.w_D[...], np.float64)
  v_FV = rows_FD @ np.asarray(lm.W_U_DV[...], np.float64)
  v_FV -= np.median(v_FV, axis=1, keepdims=True)
  loss_T = losses(np.asarray(logits_BTV[0]), tokens_T)
  without_TF = np.stack(
    [
      losses(
        np.asarray(
          run(
            lm,
            tokens_T[None],
            minus,
            (jnp.asarray(f_TF[:, i], jnp.float32), sae.W_dec_FA[i]),
          )[0][0]
        ),
        tokens_T,
      )
      for i in range(F)
    ],
    axis=1,
  )
  return {
    'f_TF': f_TF,
    'loss_T': loss_T,
    'attribution_TF': f_TF[:-1] * v_FV.T[tokens_T[1:]],
    'rise_TF': without_TF - loss_T[:, None],
  }


def probed(lm, sae, tokens_T, effects_of, shown=L) -> probe.Probed:
  """Through the compiled program, padded with what must not matter."""
  columns = logit_columns(Transformer.logit_weights, lm, sae.W_dec_FA)
  median_F = probe.medians(
    lm, sae, columns['logit_top_ids_FL'][:, 0], columns['logit_top_FL'][:, 0]
  )
  tokens_T1 = np.full(T + 1, 5, np.int32)
  tokens_T1[: tokens_T.size] = tokens_T
  program = probe.make_probe(DOT, shown, effects_of)
  known = np.int32(tokens_T.size - 1)
  found = program(lm, sae, median_F, tokens_T1[:-1], tokens_T1[1:], known)
  return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize(
  ('more', 'width'),
  [
    ({}, A),
    ({'site': 'resid'}, D),
    ({'n_layers': 2, 'site_layer': 1}, A),
    ({'n_layers': 2, 'site_layer': 0}, A),
  ],
)
def test_every_number_is_the_one_that_a_whole_pass_gives(more, width):
  lm, sae = transformer(**more), dictionary(width)
  want, last = oracle(lm, sae, text()), lm.site_is_last
  got = probed(lm, sae, text(), ablation.effects_of if last else None)
  f_TF = want['f_TF']
  np.testing.assert_allclose(got.loss_T[: N - 1], want['loss_T'], rtol=1e-4)
  np.testing.assert_array_equal(got.firing_T[:N], (f_TF > 0).sum(1))
  assert (f_TF > 0).sum(1).max() > L
  for t in range(N):
    strongest = np.argsort(-f_TF[t])[:L]
    strongest = strongest[f_TF[t, strongest] > 0]
    n = strongest.size
    np.testing.assert_array_equal(got.feature_TL[t, :n], strongest)
    np.testing.assert_allclose(
      got.activation_TL[t, :n], f_TF[t, strongest], rtol=1e-4, atol=1e-5
    )
    assert (got.activation_TL[t, n:] == 0).all()
    if t == N - 1:
      continue
    np.testing.assert_allclose(
      got.attribution_TL[t, :n],
      want['attribution_TF'][t, strongest],
      rtol=1e-3,
      atol=1e-4,
    )
    if last:
      rise_L = want['rise_TF'][t, strongest]
      np.testing.assert_allclose(
        got.rise_TL[t, :n], rise_L, rtol=1e-3, atol=1e-4
      )
      assert np.isnan(got.rise_TL[t, n:]).all()
      assert abs(rise_L).max() > 0.01
    else:
      assert np.isnan(got.rise_TL).all()


def test_where_nothing_follows_nothing_is_said_of_what_follows():
  lm, sae = transformer(), dictionary(A)
  got = probed(lm, sae, text(), ablation.effects_of)
  for x in (got.loss_T, got.attribution_TL, got.rise_TL):
    assert np.isnan(x[N - 1 :]).all()
  assert np.isfinite(got.loss_T[: N - 1]).all()
  assert np.isfinite(got.attribution_TL[: N - 1]).all()
  assert (got.activation_TL[N - 1] > 0).any()


def test_all_features_may_fire_on_all_tokens_of_a_full_context():
  lm, sae = transformer(), dictionary(A)
  sae = sae.replace(b_enc_F=sae.b_enc_F + 20)
  tokens_T1 = text(T + 1)
  f_TF, rise_TF = (
    oracle(lm, sae, tokens_T1[:T])[name] for name in ('f_TF', 'rise_TF')
  )
  got = probed(lm, sae, tokens_T1, ablation.effects_of, F)
  assert (f_TF > 0).all() and (got.firing_T == F).all()
  assert np.isfinite(got.rise_TL).all()
  for t in range(T - 1):
    by_feature = np.argsort(got.feature_TL[t])
    np.testing.assert_allclose(
      got.rise_TL[t, by_feature], rise_TF[t], rtol=1e-3, atol=1e-3
    )
