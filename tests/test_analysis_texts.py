"""Example texts: which are chosen, and what is active on their tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import texts, universality
from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.transformer import train as lm_train

D, A, V, T, B, F = 8, 12, 50, 9, 4, 24
DOT = Dot(jnp.dtype(jnp.float32))


def corpus():
  """Contexts of 12 documents of 3 subsets, some of which documents meet in."""
  rng = np.random.default_rng(0)
  subset_D = np.repeat([0, 1, 2], [8, 3, 1])
  document_C = np.sort(rng.integers(12, size=60))
  whole_C = (rng.random(60) < 0.7) & ~np.isin(document_C, [2, 9])
  return document_C, whole_C, subset_D


def test_subsets_take_turns_and_give_what_they_have():
  document_C, whole_C, subset_D = corpus()
  for count, shares in ((3, [1, 1, 1]), (9, [3, 3, 3]), (60, None)):
    chosen = texts.choose(document_C, whole_C, subset_D, count, 0)
    assert len(set(chosen)) == len(chosen) == count
    subset = subset_D[document_C[chosen]]
    if shares is not None:
      assert np.bincount(subset, minlength=3).tolist() == shares
    # In the order they are shown in.
    assert (np.diff(subset) >= 0).all()
    for k in range(3):
      assert (np.diff(chosen[subset == k]) > 0).all()
  assert len(texts.choose(document_C, whole_C, subset_D, 99, 0)) == 60


def test_whole_ones_of_many_documents_are_preferred():
  document_C, whole_C, subset_D = corpus()
  documents = {k: np.flatnonzero(subset_D == k) for k in range(3)}
  for seed in range(5):
    for count in range(3, 60):
      chosen = texts.choose(document_C, whole_C, subset_D, count, seed)
      for k, own in documents.items():
        mine = chosen[np.isin(document_C[chosen], own)]
        whole = whole_C & np.isin(document_C, own)
        if not whole_C[mine].all():
          assert np.isin(np.flatnonzero(whole), mine).all(), k
        once = len(set(document_C[mine])) == len(mine)
        have = set(document_C[whole])
        assert once or have <= set(document_C[mine]), k


def test_the_draw_is_of_the_seed():
  draw = lambda seed: texts.choose(*corpus(), 9, seed).tolist()
  assert draw(0) == draw(0)
  assert len({tuple(draw(seed)) for seed in range(5)}) == 5


def model():
  c = settings.Transformer(
    d_model=D, d_mlp=A, n_heads=2, precision='float32', seed=3
  )
  lm = lm_train.init(c, vocab_size=V, context=T, separator=0).model
  sae = sae_lib.init(jax.random.key(3), A, F)
  return lm, sae.replace(b_enc_F=jnp.linspace(-0.05, 0.02, F))


def tokens() -> np.ndarray:
  return np.random.default_rng(1).integers(1, V, (B, T)).astype(np.int32)


def view(active: int) -> texts.View:
  lm, sae = model()
  side = universality.side(lm, sae)
  made = texts.make_view(lambda lm, x_BT: lm(x_BT)[1], DOT, active)
  return jax.device_get(made(lm, sae, side.rows_FD, side.median_F, tokens()))


def plain():
  """All activations and logit weights, by definition."""
  lm, sae = model()
  acts_BTA = np.asarray(lm(tokens())[1], float)
  pre = (acts_BTA - sae.b_dec_A) @ np.asarray(sae.W_enc_AF, float)
  rows = np.asarray(sae.W_dec_FA, float) @ lm.blocks[0].mlp.W_out_AD[...]
  rows = (rows - rows.mean(1, keepdims=True)) * lm.ln_f.w_D[...]
  v_FV = rows @ np.asarray(lm.W_U_DV[...], float)
  v_FV -= np.median(v_FV, axis=1, keepdims=True)
  return np.maximum(pre + sae.b_enc_F, 0), v_FV


@pytest.mark.parametrize('active', [3, F])
def test_a_token_shows_what_is_most_active_and_what_it_says(active):
  got, (f_BTF, v_FV) = view(active), plain()
  assert got.feature_BTL.shape == (B, T, active)
  np.testing.assert_array_equal(got.active_BT, (f_BTF > 0).sum(-1))
  assert (got.active_BT > 3).any() and (got.active_BT < F).all()
  for b, t in np.ndindex(B, T):
    own = np.argsort(-f_BTF[b, t])[:active]
    there = min(active, int((f_BTF[b, t] > 0).sum()))
    own = own[:there]
    np.testing.assert_array_equal(got.feature_BTL[b, t, :there], own)
    assert (got.feature_BTL[b, t, there:] == -1).all()
    f = f_BTF[b, t, own]
    np.testing.assert_allclose(
      got.activation_BTL[b, t, :there], f, rtol=1e-4, atol=1e-7
    )
    assert not got.activation_BTL[b, t, there:].any()
    if t == T - 1:
      assert np.isnan(got.attribution_BTL[b, t]).all()
      continue
    want = f * v_FV[own, tokens()[b, t + 1]]
    np.testing.assert_allclose(
      got.attribution_BTL[b, t, :there], want, rtol=1e-3, atol=1e-6
    )
    assert not got.attribution_BTL[b, t, there:].any()


@pytest.mark.parametrize('shape', [(8, 1), (2, 4)])
def test_a_mesh_finds_the_same(shape):
  want = view(5)
  with jax.set_mesh(meshes.make_mesh(settings.Mesh(*shape))):
    got = view(5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7),
    got,
    want,
  )
