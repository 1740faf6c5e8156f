"""The features pass and the evaluation on every mesh: as on one device."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.analysis import texts
from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import evaluate, sae as sae_lib
from monosem_jax.features import collect, examples
from monosem_jax.transformer import train as lm_train

V, T, CONTEXTS, A, F = 31, 15, 48, 32, 64
MESHES = [(8, 1), (4, 2), (1, 8)]
DOT = Dot(jnp.dtype(jnp.float32))


def forward(lm, tokens_BT):
  return lm(tokens_BT)[1]


@functools.cache
def tokens() -> np.ndarray:
  rng = np.random.default_rng(0)
  return rng.integers(1, V, size=(CONTEXTS, T)).astype(np.int32)


@contextlib.contextmanager
def setting(x64: bool, shape):
  """A precision and a mesh in force: yields the two models, placed."""
  with (
    jax.enable_x64(x64),
    jax.numpy_dtype_promotion('standard' if x64 else 'strict'),
    contextlib.ExitStack() as stack,
  ):
    c = settings.Transformer(d_model=16, d_mlp=A, n_heads=2, seed=1)
    lm = lm_train.init(c, vocab_size=V, context=T, separator=0).model
    lm = jax.tree.map(lambda x: 4 * x, lm)
    # Of draws in numpy, which are the same in both precisions.
    rng = np.random.default_rng(2)
    dtype = jnp.float64 if x64 else jnp.float32
    sae = sae_lib.SAE(
      W_enc_AF=jnp.asarray(rng.normal(size=(A, F)), dtype),
      b_enc_F=jnp.asarray(rng.normal(size=F) - 0.3, dtype),
      W_dec_FA=jnp.asarray(rng.normal(size=(F, A)), dtype),
      b_dec_A=jnp.asarray(0.1 * rng.normal(size=A), dtype),
    )
    if shape is not None:
      mesh = meshes.make_mesh(settings.Mesh(*shape))
      stack.enter_context(jax.set_mesh(mesh))
      lm, sae = meshes.place(mesh, lm), meshes.place(mesh, sae)
    yield lm, sae


@functools.cache
def described(x64: bool, shape, batch_size: int):
  """What the pass finds, and the windows of all its examples."""
  c = settings.Features(
    batch_size=batch_size,
    sample_fraction=0.25,
    activations=60,
    top=3,
    per_interval=2,
    bottom=2,
  )

  def batches():
    for i in range(0, CONTEXTS, batch_size):
      at = np.arange(i, i + batch_size, dtype=np.int32)
      yield tokens()[at], at

  with setting(x64, shape) as (lm, sae):
    found = collect.collect(
      c, forward, DOT, lm, sae, batches, tokens().size, lambda n: None
    )
    _, edge_F, _ = examples.histograms(found)
    places = examples.candidates(c, found, edge_F, CONTEXTS, T)
    windows = examples.look(
      c,
      forward,
      DOT,
      lm,
      sae,
      lambda context_B: tokens()[context_B],
      *places,
      lambda done, rows: None,
    )
  return found, places, windows


@functools.cache
def measured(x64: bool, shape, batch_size: int) -> dict:
  with setting(x64, shape) as (lm, sae):
    return evaluate.evaluate(
      evaluate.make_sums(lm_train.patched_loss, DOT),
      lm,
      {'A1': sae},
      (tokens()[i : i + batch_size] for i in range(0, CONTEXTS, batch_size)),
    )['A1']


# 16 contexts can be spread over 8 devices; 3 of 15 tokens, or these, cannot.
CASES = pytest.mark.parametrize(
  ('shape', 'x64', 'rtol', 'batch_size'),
  [
    *((shape, True, 1e-12, 16) for shape in MESHES),
    *((shape, False, 1e-4, 16) for shape in MESHES),
    ((4, 2), True, 1e-12, 3),
  ],
)


@CASES
def test_a_mesh_finds_what_one_device_finds(shape, x64, rtol, batch_size):
  (want, places, windows), (got, own_places, own_windows) = (
    described(x64, on, batch_size) for on in (None, shape)
  )
  assert got.lost == want.lost == 0
  # A part of the activations is sampled, so the draw decides.
  assert F < want.feature_M.size < 0.9 * want.fired_F.sum()
  for name in (
    *('fired_F', 'top_context_FE'),
    *('feature_M', 'context_M', 'position_M'),
  ):
    np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
  for name in ('top_FE', 'value_M'):
    scale = np.abs(getattr(want, name)).max()
    np.testing.assert_allclose(
      getattr(got, name), getattr(want, name), rtol=rtol, atol=rtol * scale
    )
  for a, b in zip(own_places, places, strict=True):
    np.testing.assert_array_equal(a, b)
  for name in ('position', 'tokens', 'start', 'stop'):
    np.testing.assert_array_equal(own_windows[name], windows[name])
  np.testing.assert_allclose(
    own_windows['acts'], windows['acts'], rtol=2e-3, atol=2e-3
  )  # float16


@CASES
def test_a_mesh_measures_what_one_device_measures(shape, x64, rtol, batch_size):
  want = measured(x64, None, batch_size)
  got = measured(x64, shape, batch_size)
  assert got.keys() == want.keys()
  for key, value in want.items():
    if isinstance(value, float):
      assert got[key] == pytest.approx(value, rel=10 * rtol), key
    else:
      np.testing.assert_array_equal(got[key], value, err_msg=key)


@pytest.mark.parametrize('shape', [None, *MESHES])
@pytest.mark.parametrize('active', [3, 12, 64])
def test_the_most_active_features_are_those_of_a_sort(shape, active):
  # Whole numbers: full of ties, where the lower feature comes first.
  f_NF = np.random.default_rng(0).integers(0, 4, (48, F)).astype(np.float32)
  order_NF = np.argsort(-f_NF, axis=1, kind='stable')[:, :active]
  with setting(False, shape):
    run = jax.jit(lambda f_NF: texts.most_active(f_NF, active))
    value_NL, feature_NL = run(f_NF)
  np.testing.assert_array_equal(feature_NL, order_NF)
  np.testing.assert_array_equal(value_NL, np.take_along_axis(f_NF, order_NF, 1))
