"""The sparse gradient is the dense one, whatever is active, on every mesh."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import state as states
from monosem_jax.dictionary.sae import SAE
from monosem_jax.dictionary.step import train_step
from monosem_jax.dictionary.stream import Rows

A, F, N, M = 12, 64, 64, 4
DOT = Dot(jnp.dtype(jnp.float32))


def dictionary(how: str, active: int = 16) -> settings.Dictionary:
  return settings.Dictionary(
    features=F, lr=1e-2, l1=0.02, sparse=how, sparse_active=active
  )


def batch(spread: float) -> Rows:
  """Rows whose size, and so the number of active features, differs."""
  rng = np.random.default_rng(1)
  x_NA = rng.normal(size=(N, A)) * np.exp(spread * rng.normal(size=(N, 1)))
  return Rows(
    rows_UGrA=jnp.asarray(x_NA.reshape(1, 8, N // 8, A)),
    index_SMGn=jnp.asarray(
      rng.permuted(np.tile(np.arange(N // 8), (8, 1)), axis=1)
      .reshape(8, M, -1)
      .swapaxes(0, 1)[None]
    ),
  )


def active(state, rows: Rows) -> np.ndarray:
  """Active features of each row of the batch, by micro-batch: count_MN."""
  sae, counts = jax.tree.map(np.asarray, state.sae), []
  for index_Gn in np.asarray(rows.index_SMGn[0]):
    x_NA = 1.5 * np.concatenate(
      [np.asarray(rows.rows_UGrA)[0, g, i] for g, i in enumerate(index_Gn)]
    )
    pre_NF = (x_NA - sae.b_dec_A) @ sae.W_enc_AF + sae.b_enc_F
    counts.append((pre_NF > 0).sum(1))
  return np.stack(counts)


def start(bias: float) -> states.DictionaryState:
  rng = np.random.default_rng(0)
  state = states.init(dictionary('never'), A)
  W_dec_FA = rng.normal(size=(F, A))
  W_dec_FA /= np.linalg.norm(W_dec_FA, axis=1, keepdims=True)
  sae = SAE(
    W_enc_AF=0.6 * W_dec_FA.T + 0.1 * rng.normal(size=(A, F)),
    b_enc_F=bias + 0.2 * rng.normal(size=F),
    W_dec_FA=W_dec_FA,
    b_dec_A=0.1 * rng.normal(size=A),
  )
  sae = jax.tree.map(lambda x: jnp.asarray(x, state.l1.dtype), sae)
  return state.replace(sae=sae, scale=jnp.full_like(state.scale, 1.5))


def step(how: str, rows: Rows, state, steps: int, active: int = 16):
  c, fired = dictionary(how, active), []
  run = jax.jit(
    lambda state, rows: train_step(c, state, rows, rows.index_SMGn[0], DOT)
  )
  for _ in range(steps):
    state, numbers, fired_F = run(state, rows)
    fired.append(np.asarray(fired_F))
  return jax.device_get(state), jax.device_get(numbers), np.stack(fired)


@contextlib.contextmanager
def precision(x64: bool):
  with (
    jax.enable_x64(x64),
    jax.numpy_dtype_promotion('standard' if x64 else 'strict'),
  ):
    yield


def assert_same(got, want, rtol: float) -> None:
  def close(a, b):
    scale = max(np.abs(b).max(), 1e-30)
    np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=rtol)

  jax.tree.map(close, got, want)


# All rows of all micro-batches fit; those of some do; of none.
CASES = [(-1.5, 0.2, 'all'), (-2.0, 0.5, 'some'), (0.5, 0.2, 'none')]


@pytest.mark.parametrize(('bias', 'spread', 'fit'), CASES)
@pytest.mark.parametrize(('x64', 'rtol'), [(True, 1e-11), (False, 1e-5)])
def test_steps_are_those_of_the_dense_gradient(bias, spread, fit, x64, rtol):
  with precision(x64):
    state, rows = start(bias), batch(spread)
    rows = rows.replace(rows_UGrA=rows.rows_UGrA.astype(state.l1.dtype))
    too_many_M = active(state, rows).max(1) > 16
    assert {0: 'all', M: 'none'}.get(int(too_many_M.sum()), 'some') == fit
    _, numbers, _ = step('always', rows, state, 1)
    np.testing.assert_allclose(numbers.pop('fallbacks'), too_many_M.mean())
    # 4 steps: what is left of a difference would grow from one to the next.
    want, numbers, fired_SF = step('never', rows, state, 4)
    got, sparse_numbers, sparse_fired_SF = step('always', rows, state, 4)
    sparse_numbers.pop('fallbacks')
    assert_same(got, want, rtol)
    assert_same(sparse_numbers, numbers, rtol)
    np.testing.assert_array_equal(sparse_fired_SF, fired_SF)
    assert fired_SF.any()


@pytest.mark.parametrize('shape', [(8, 1), (4, 2), (1, 8)])
@pytest.mark.parametrize(('bias', 'spread', 'fit'), CASES)
def test_every_mesh_gives_the_same_step(shape, bias, spread, fit):
  with precision(True):
    state, rows = start(bias), batch(spread)
    want, want_numbers, want_fired = step('never', rows, state, 2)
    mesh = meshes.make_mesh(settings.Mesh(*shape))
    with jax.set_mesh(mesh):
      state = jax.device_put(state, meshes.shardings(mesh, state))
      rows = Rows(
        meshes.put(mesh, rows.rows_UGrA, meshes.SPECS.rows_UGrA),
        rows.index_SMGn,
      )
      # Fewer than 16 of the 8 features a device has can be active.
      got, numbers, fired = step('always', rows, state, 2, active=6)
      if fit == 'none':
        assert numbers['fallbacks'] > 0.5
      numbers.pop('fallbacks')
    assert_same(got, want, 1e-11)
    assert_same(numbers, want_numbers, 1e-11)
    np.testing.assert_array_equal(fired, want_fired)


def test_automatic_is_sparse_for_large_dictionaries_on_a_cpu():
  from monosem_jax.dictionary import sparse

  pays = lambda features, how='auto': sparse.pays(
    settings.Dictionary(features=features, sparse=how)
  )
  assert pays(131_072) and not pays(512)
  assert pays(512, 'always') and not pays(131_072, 'never')
