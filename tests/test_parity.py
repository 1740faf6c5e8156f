"""The same numbers on every mesh: 1 device, 8 x 1, 4 x 2, 1 x 8.

`python -m pytest tests/test_parity.py -s` prints the table of deviations: the
largest, over all arrays, of max |a - b| / max |b|.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.device.mesh import SPECS
from monosem_jax.dictionary import state as states, train as sae_train
from monosem_jax.transformer import train as lm_train

MESHES = [(8, 1), (4, 2), (1, 8)]
PRECISIONS = {'float64': 1e-12, 'float32': 1e-4}
STEPS = 50
V, T, B = 97, 16, 16
LM = settings.Transformer(
  d_model=16,
  d_mlp=32,
  n_heads=2,
  batch_size=B,
  micro_batch=8,
  steps=STEPS,
  warmup_steps=5,
  steps_per_chunk=STEPS,
  lr=3e-3,
  precision='float32',
)
# 200 rows of 8 positions of 100 contexts... 25 steps to a chunk, two chunks.
STREAM = settings.Stream(
  contexts_per_chunk=200,
  positions_per_context=8,
  shuffle_groups=8,
  micro_batches=1,
  batch_size=64,
  micro_batch=32,
  steps=STEPS,
  precision='float32',
)


def sae(sparse: str, placement: str) -> settings.Dictionary:
  return settings.Dictionary(
    features=64,
    lr=3e-3,
    l1=3e-3,
    sparse=sparse,
    sparse_active=24,
    resampling=settings.Resampling(
      steps=(10, 35),
      window=5,
      candidates=640,
      loss='total',
      placement=placement,
    ),
  )


def april(sparse: str) -> settings.Dictionary:
  return settings.Dictionary(
    features=64,
    recipe='april',
    lr=3e-3,
    l1=0.1,
    l1_warmup=0.2,
    lr_decay=0.2,
    clip_norm=0.1,
    sparse=sparse,
    sparse_active=24,
    resampling=settings.Resampling(steps=()),
  )


@contextlib.contextmanager
def setting(precision: str, shape):
  """A precision and a mesh in force; yields what puts an array on it."""
  x64 = precision == 'float64'
  with (
    jax.enable_x64(x64),
    jax.numpy_dtype_promotion('standard' if x64 else 'strict'),
    contextlib.ExitStack() as stack,
  ):
    if shape is None:
      yield None
    else:
      mesh = meshes.make_mesh(settings.Mesh(*shape))
      stack.enter_context(jax.set_mesh(mesh))
      yield mesh


def made(mesh, init):
  return meshes.init_sharded(mesh, init) if mesh else jax.jit(init)()


def put(mesh, x, spec):
  return meshes.put(mesh, x, spec) if mesh else jnp.asarray(x)


def transformer():
  return lm_train.init(LM, vocab_size=V, context=T, separator=0)


def train_lm(precision: str, shape):
  tokens_SBT = np.random.default_rng(0).integers(V, size=(STEPS, B, T))
  with setting(precision, shape) as mesh:
    state, stats = lm_train.make_chunk(LM)(
      made(mesh, transformer),
      put(mesh, tokens_SBT.astype(np.int32), SPECS.tokens_SBT),
    )
    return jax.device_get((state, stats)), []


def train_sae(precision: str, shape, sparse: str, placement: str = 'paper'):
  dictionaries = {'A1': sae(sparse, placement), 'A2': april(sparse)}
  rng = np.random.default_rng(0)
  C = STREAM.contexts_per_chunk

  def started():
    own = {name: states.init(c, LM.d_mlp) for name, c in dictionaries.items()}
    low_F = -100.0 * (jnp.arange(64) % 4 == 0).astype(own['A1'].l1.dtype)
    sae = own['A1'].sae.replace(b_enc_F=low_F - 0.05)
    own['A1'] = own['A1'].replace(sae=sae)
    return states.StreamState.of(jnp.int32(0), dictionaries, own)

  with setting(precision, shape) as mesh:
    lm = made(mesh, transformer).model
    chunk = sae_train.make_chunk(
      STREAM, dictionaries, lambda lm, tokens_BT: lm(tokens_BT)[1]
    )
    state, seen = made(mesh, started), []
    for k in range(2):
      host = (
        rng.integers(V, size=(C, T)),
        np.arange(C) + C * k,
        np.zeros(C),
      )
      batch = (put(mesh, x.astype(np.int32), SPECS.tokens_CT) for x in host)
      state, stats = chunk(state, lm, *batch)
      seen.append(jax.device_get(stats))
      for own in stats:
        # Whether a micro-batch fits is each device's own affair.
        seen[-1][own].pop('fallbacks', None)
    redrawn = np.concatenate([s['A1'].pop('resampled') for s in seen])
    return (jax.device_get(state.stacks), seen), redrawn


RUNS = {
  'transformer': train_lm,
  'dictionary': lambda *args: train_sae(*args, 'never'),
  'dictionary, sparse': lambda *args: train_sae(*args, 'always'),
  'dictionary, residual': lambda *args: train_sae(*args, 'never', 'residual'),
}


@pytest.fixture(scope='module')
def on_one_device():
  return {
    (name, precision): run(precision, None)
    for name, run in RUNS.items()
    for precision in PRECISIONS
  }


def deviation(got, want) -> float:
  """The largest of max |a - b| / max |b| over all arrays."""

  def of_array(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)

  return max(jax.tree.leaves(jax.tree.map(of_array, got, want)))


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('shape', MESHES)
@pytest.mark.parametrize('name', RUNS)
def test_fifty_steps_agree_with_one_device(
  name, shape, precision, on_one_device
):
  want, want_redrawn = on_one_device[name, precision]
  got, redrawn = RUNS[name](precision, shape)
  found = deviation(got, want)
  data, feature = shape
  print(f'{name:20} {precision} {data} x {feature}: {found:.1e}')
  assert found < PRECISIONS[precision]
  # Other inputs for a feature would show in its weights; so would other
  # features.
  np.testing.assert_array_equal(redrawn, want_redrawn)
  if 'dictionary' in name:
    assert (np.asarray(redrawn) > 0).sum() >= 1 and sum(redrawn) >= 16
