"""Ablations against their definition: the whole pass without the feature."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_transformer import shaken

from monosem_jax.analysis import ablation
from monosem_jax.config import settings
from monosem_jax.config.errors import UserError
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.features import batching
from monosem_jax.features.table import FeatureTable
from monosem_jax.transformer import train as lm_train

pytestmark = pytest.mark.usefixtures('double_precision')

D, A, F, V, T, E, BEFORE, AFTER = 16, 24, 30, 60, 12, 3, 2, 3
W = BEFORE + 1 + AFTER
LM = settings.Transformer(d_model=D, d_mlp=A, n_heads=2, precision='float32')
DOT = Dot(jnp.dtype(jnp.float32))


def transformer(**changes):
  c = dataclasses.replace(LM, **changes)
  lm = lm_train.init(c, vocab_size=V, context=T, separator=0).model
  return shaken(lm)


def dictionary(width: int = A):
  rng = np.random.default_rng(2)
  sae = sae_lib.init(jax.random.key(0), width, F)
  return sae.replace(
    b_enc_F=jnp.asarray(rng.normal(size=F) * 0.5 - 0.3),
    b_dec_A=jnp.asarray(rng.normal(size=width) * 0.1),
  )


def contexts() -> np.ndarray:
  return np.random.default_rng(3).integers(1, V, (7, T)).astype(np.int32)


def plain(lm, sae, tokens_T, feature: int):
  """Losses and logits of a context, as they are and without the feature."""

  def without(acts_BTA):
    f_F = sae_lib.encode(sae, acts_BTA[0], DOT)
    row_A = sae.W_dec_FA[feature]
    return acts_BTA - (f_F[:, feature, None] * row_A)[None]

  found = []
  for patch in (None, without):
    logits_TV = np.asarray(lm(tokens_T[None], patch)[0][0])
    log_p_TV = logits_TV - np.log(np.exp(logits_TV).sum(-1, keepdims=True))
    found.append((-log_p_TV[np.arange(T - 1), tokens_T[1:]], logits_TV))
  return found


def table(position_FE, context_FE, there_FE) -> FeatureTable:
  stop_FE = np.minimum(W, T - position_FE + BEFORE)
  blank = {
    f.name: np.zeros(0)
    for f in dataclasses.fields(FeatureTable)
    if f.name != 'meta'
  }
  return FeatureTable(
    **blank
    | {
      'example_tokens_FEW': np.zeros((F, E, W), np.uint16),
      'example_start_FE': np.maximum(BEFORE - position_FE, 0),
      'example_stop_FE': np.where(there_FE, stop_FE, 0).astype(np.uint8),
      'example_context_FE': context_FE.astype(np.int32),
      'example_position_FE': position_FE.astype(np.uint16),
    },
    meta={'before': BEFORE, 'after': AFTER},
  )


def random_table() -> FeatureTable:
  rng = np.random.default_rng(4)
  return table(
    rng.integers(T, size=(F, E)),
    rng.integers(7, size=(F, E)),
    rng.random((F, E)) < 0.8,
  )


@pytest.mark.parametrize('site', ['mlp', 'resid'])
def test_effects_are_those_of_the_whole_pass(site):
  lm = transformer(site=site)
  sae, tokens = dictionary(A if site == 'mlp' else D), contexts()
  t = random_table()
  told = []
  found = ablation.ablate(
    lm,
    sae,
    DOT,
    t,
    lambda context_B: tokens[context_B],
    4,
    lambda *x: told.append(x),
  )
  want = {}
  for i, e in np.argwhere(t.example_stop_FE > 0):
    own = tokens[t.example_context_FE[i, e]]
    (loss, logits), (bare_loss, bare_logits) = plain(lm, sae, own, i)
    for w in range(t.example_start_FE[i, e], t.example_stop_FE[i, e]):
      before = int(t.example_position_FE[i, e]) - BEFORE + w - 1
      if before >= 0:
        change = bare_logits[before] - logits[before]
        if np.abs(change).max() > 1e-12:
          want[(i * E + e) * W + w] = bare_loss[before] - loss[before], change
  assert len(want) > 60
  np.testing.assert_array_equal(found.at_M, sorted(want))
  for m, at in enumerate(found.at_M):
    loss, change = want[at]
    np.testing.assert_allclose(found.loss_M[m], loss, rtol=2e-3, atol=1e-4)
    for name, sign in (('raised', -1), ('lowered', 1)):
      order = np.argsort(sign * change)[:5]
      np.testing.assert_array_equal(found.columns()[f'{name}_ids_Mk'][m], order)
      np.testing.assert_allclose(
        found.columns()[f'{name}_Mk'][m], change[order], rtol=2e-3, atol=1e-4
      )
  assert told[-1][0] == told[-1][1]


def test_many_pairs_are_worked_off_in_parts(monkeypatch):
  lm, sae, tokens, t = transformer(), dictionary(), contexts(), random_table()
  run = lambda: ablation.ablate(
    lm, sae, DOT, t, lambda c: tokens[c], 3, lambda *x: None
  )
  whole = run()
  monkeypatch.setattr(ablation, '_PAIRS', 7)
  monkeypatch.setattr(batching, 'PER_ROW', 5)
  parts = run()
  for name, x in whole.columns().items():
    np.testing.assert_array_equal(parts.columns()[name], x, err_msg=name)


def test_features_that_never_fire_have_no_effect():
  sae = dictionary().replace(b_enc_F=jnp.full(F, -100.0))
  tokens = contexts()
  found = ablation.ablate(
    transformer(),
    sae,
    DOT,
    random_table(),
    lambda c: tokens[c],
    4,
    lambda *x: None,
  )
  assert all(len(x) == 0 for x in found.columns().values())


def test_a_site_with_layers_behind_it_is_refused():
  with pytest.raises(UserError, match='layers follow'):
    ablation.ablate(
      transformer(n_layers=2),
      dictionary(),
      DOT,
      random_table(),
      lambda c: contexts()[c],
      4,
      lambda *x: None,
    )
