"""What becomes of re-drawn features in a small run on real text."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import program
import pytest

from monosem_jax import stages
from monosem_jax.config import load as configs, settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  init as dictionary_init,
  state as states,
  stream as rows_stream,
  train,
)
from monosem_jax.dictionary.sae import encode
from monosem_jax.run import Run
from monosem_jax.run.files import write_json
from monosem_jax.run.workdir import Workdir
from monosem_jax.stages.lm import training as lm_stage
from monosem_jax.stages.programs import forward
from monosem_jax.text import stream
from monosem_jax.text.store import TokenStore

DOT = Dot(jnp.dtype(jnp.float32))
# 28 chunks of 32 steps: dead features are drawn again at step 448, and have the
# 448 steps that are left. Every fourth feature starts dead.
CHUNKS, STEPS, DUE, WINDOW = 28, 32, 448, 128
DEAD_F = np.arange(512) % 4 == 0


@pytest.fixture(scope='module')
def run():
  """A transformer on the text that Python carries, and its token store."""

  c = configs.load(str(program.ROOT / 'configs/tiny.py'))

  def make(path):
    run = Run(c, Workdir(path))
    write_json(run.workdir.settings, configs.as_dict(c))
    for stage in ('tokens', 'lm'):
      stages.execute(stage, run, {})

  run = Run(c, Workdir(program.once('real', make)))
  store = TokenStore.open(run.workdir.store)
  return store, lm_stage.load(run, store, 'A')


def densities(run, placement: str) -> tuple[np.ndarray, np.ndarray]:
  """Which features were drawn again, and how dense each is at the end."""
  store, lm = run
  c = settings.Stream(
    contexts_per_chunk=256,
    positions_per_context=64,
    shuffle_groups=4,
    micro_batches=4,
    batch_size=512,
    micro_batch=256,
    steps=CHUNKS * STEPS,
    precision='float32',
  )
  d = settings.Dictionary(
    features=512,
    lr=1e-3,
    l1=0.03,
    normalize='unit',
    resampling=settings.Resampling(
      steps=(DUE,), window=WINDOW, candidates=8_192, placement=placement
    ),
  )
  chunk = train.make_chunk(c, {'A1': d}, forward)
  batches = stream.batches(store, 'train', 256, seed=0, start=0)
  state = states.init_stream({'A1': d}, 128)
  drawn_F = np.zeros(512, bool)
  for k, batch in zip(range(CHUNKS), batches, strict=False):
    inputs = [jnp.asarray(x) for x in batch]
    if k == 0:
      rows = rows_stream.harvest(c, forward, lm, *inputs, jnp.float32)
      fresh = dictionary_init.start(
        d, state.dictionaries['A1'], rows.reshape(-1, 128), DOT
      )
      bias_F = jnp.where(DEAD_F, -100.0, fresh.sae.b_enc_F)
      fresh = fresh.replace(sae=fresh.sae.replace(b_enc_F=bias_F))
      state = states.StreamState.of(state.step, {'A1': d}, {'A1': fresh})
    if k * STEPS == DUE:
      silent_F = np.asarray(state.dictionaries['A1'].silent_F)
      drawn_F = silent_F >= WINDOW
    state, stats = chunk(state, lm, *inputs)
    assert int(np.sum(stats['A1']['resampled'])) == (
      drawn_F.sum() if k * STEPS == DUE else 0
    )
  batches.close()
  own = state.dictionaries['A1']

  @functools.partial(jax.jit, static_argnames='n')
  def fired(tokens_BT, n):
    x_NA = forward(lm, tokens_BT).reshape(n, -1)
    return (encode(own.sae, x_NA * own.scale, DOT) > 0).sum(0)

  tokens_BT = store.tokens('val', np.arange(256))
  return drawn_F, np.asarray(fired(tokens_BT, tokens_BT.size)) / tokens_BT.size


@pytest.mark.slow
def test_features_that_are_put_on_residuals_go_on_working(run):
  share = {}
  for placement in ('residual', 'paper'):
    drawn_F, density_F = densities(run, placement)
    assert (drawn_F >= DEAD_F).all()
    share[placement] = (density_F[drawn_F] > 1e-3).mean()
    print(f'{placement}: {drawn_F.sum()} re-drawn, {share[placement]:.0%} work')
  assert share['residual'] >= 0.7
  # The same dead features, put where the paper puts them.
  assert share['paper'] < share['residual'] - 0.2
