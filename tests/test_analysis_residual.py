"""What is left unexplained, against whole passes written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_transformer import shaken

from monosem_jax.analysis import residual
from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.transformer import train as lm_train
from monosem_jax.transformer.model import next_token_loss

D, A, F, V, T, STORE = 16, 24, 32, 60, 12, 9
DOT = Dot(jnp.dtype(jnp.float32))
ASKED = np.array([[7, 2, 2], [5, 7, 0]])


def model(layers: int = 1):
  c = settings.Transformer(
    d_model=D, d_mlp=A, n_heads=2, n_layers=layers, precision='float32'
  )
  lm = lm_train.init(c, vocab_size=V, context=T, separator=0).model
  sae = sae_lib.init(jax.random.key(0), A, F)
  return shaken(lm), sae.replace(b_dec_A=jnp.linspace(-0.2, 0.3, A))


def tokens() -> np.ndarray:
  return np.random.default_rng(3).integers(1, V, (STORE, T)).astype(np.int32)


def losses(lm, tokens_BT, patch):
  return next_token_loss(lm(tokens_BT, patch)[0], tokens_BT)


def measure(lm, sae, context_M, batch_size: int, told=None):
  return residual.residual(
    losses,
    lm,
    sae,
    DOT,
    context_M,
    lambda context_B: tokens()[context_B],
    batch_size,
    (lambda *x: None) if told is None else lambda *x: told.append(x),
  )


def plain(lm, sae, tokens_T):
  """Losses of one context, as they are and with the reconstruction."""

  def reconstruction(acts_1TA):
    x = np.asarray(acts_1TA[0], float)
    f = np.maximum((x - sae.b_dec_A) @ sae.W_enc_AF + sae.b_enc_F, 0)
    return jnp.asarray((f @ sae.W_dec_FA + sae.b_dec_A)[None], jnp.float32)

  found = []
  for patch in (None, reconstruction):
    logits_TV = np.asarray(lm(tokens_T[None], patch)[0][0], float)
    log_p_TV = logits_TV - np.log(np.exp(logits_TV).sum(-1, keepdims=True))
    found.append(-log_p_TV[np.arange(T - 1), tokens_T[1:]])
  return found


@pytest.mark.parametrize(('layers', 'batch_size'), [(1, 3), (1, 99), (2, 1)])
def test_the_loss_changes_as_in_two_whole_passes(layers, batch_size):
  (lm, sae), told = model(layers), []
  got = measure(lm, sae, ASKED, batch_size, told)
  np.testing.assert_array_equal(got.context_C, [0, 2, 5, 7])
  assert got.context_C.dtype == np.int32
  for c, context in enumerate(got.context_C):
    clean, without = plain(lm, sae, tokens()[context])
    assert np.abs(without - clean).max() > 0.5
    for x_CT, want in (
      (got.loss_CT, clean),
      (got.residual_CT, without - clean),
    ):
      assert x_CT.dtype == np.float16
      assert np.isnan(x_CT[c, 0])
      np.testing.assert_allclose(x_CT[c, 1:], want, rtol=2e-3, atol=2e-3)
  assert told[-1] == (4, 4)


def test_what_explains_all_leaves_nothing():
  lm, sae = model()
  # Each direction and its opposite: of any activations, one of both fires.
  both = jnp.concatenate([jnp.eye(A), -jnp.eye(A)])
  whole = sae.replace(W_enc_AF=both.T, W_dec_FA=both, b_enc_F=jnp.zeros(2 * A))
  got = measure(lm, whole, ASKED, 2)
  np.testing.assert_allclose(got.residual_CT[:, 1:], 0, atol=1e-4)
  assert (got.loss_CT[:, 1:] > 0).all()


def test_without_examples_there_is_nothing():
  got = measure(*model(), np.zeros(0, int), 2)
  assert all(len(x) == 0 for x in got.columns().values())
  assert got.residual_CT.shape == (0, T)


def test_a_mesh_finds_the_same():
  want = measure(*model(), ASKED, 4)
  with jax.set_mesh(meshes.make_mesh(settings.Mesh(2, 4))):
    got = measure(*model(), ASKED, 4)
  for name, x in want.columns().items():
    np.testing.assert_allclose(got.columns()[name], x, rtol=2e-3, atol=2e-3)
