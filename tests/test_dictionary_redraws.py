"""Resampling inside a compiled chunk: when, who, and from which rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from resampled import A, F, arrays

from monosem_jax.config import settings
from monosem_jax.dictionary import state as states, stream, train
from monosem_jax.dictionary.stream import Rows

# The chunk: 8 contexts x 6 positions = 48 rows, 6 steps of 8 rows.
STREAM = settings.Stream(
  contexts_per_chunk=8,
  positions_per_context=6,
  shuffle_groups=2,
  micro_batches=2,
  batch_size=8,
  micro_batch=4,
  precision='float32',
)
S = 6


def forward(lm, tokens_BT):
  return lm[tokens_BT]


def chunk_inputs(k: int):
  rng = np.random.default_rng(k)
  tokens_CT = rng.integers(64, size=(8, 6)).astype(np.int32)
  return (
    tokens_CT,
    np.arange(8, dtype=np.int32) + 8 * k,
    np.zeros(8, np.int32),
  )


def table() -> jax.Array:
  rng = np.random.default_rng(5)
  return jnp.asarray(0.5 + rng.random((64, A)), jnp.float32)


ALIVE = 7


def kill(state, dictionaries, silent: int):
  """Features from ALIVE on are silent since then; the others always fire."""
  alive_F = jnp.arange(F) < ALIVE
  changed = {}
  for name, d in state.dictionaries.items():
    sae = d.sae.replace(
      W_enc_AF=jnp.zeros((A, F)).at[0].set(jnp.where(alive_F, 1e-3, 0)),
      b_enc_F=jnp.where(alive_F, 1.0, -1.0),
    )
    silent_F = jnp.where(alive_F, 0, silent).astype(jnp.int32)
    changed[name] = d.replace(sae=sae, silent_F=silent_F)
  return states.StreamState.of(state.step, dictionaries, changed)


@pytest.mark.parametrize(
  ('due', 'segments'),
  [((4, 9, 12), 6), ((4, 8, 14), 3), ((6, 12), 1)],
)
def test_chunks_resample_before_exactly_the_scheduled_steps(
  due, segments, compiled
):
  # At rate 0 nothing but resampling can wake a silent feature; as inputs are
  # positive and the new bias is 0, a re-drawn one fires on every row.
  c = settings.Dictionary(
    features=F,
    lr=0.0,
    resampling=settings.Resampling(steps=due, window=3, candidates=16),
  )
  chunk = train.make_chunk(STREAM, {'d': c}, forward)
  state = states.init_stream({'d': c}, A)
  for k in range(3):
    given, lm, inputs = kill(state, {'d': c}, 3), table(), chunk_inputs(k)
    before = len(compiled)
    state, stats = chunk(given, lm, *inputs)
    if k > 0:
      assert len(compiled) == before, 'compiled anew for a chunk'
    here = [s - k * S for s in due if k * S <= s < (k + 1) * S]
    resampled, l0_S = np.asarray(stats['d']['resampled']), stats['d']['l0']
    assert resampled.shape == (segments,)
    want = np.zeros(segments)
    for s in here:
      want[s * segments // S] = F - ALIVE
    np.testing.assert_array_equal(resampled, want)
    first = min(here, default=S)
    np.testing.assert_array_equal(
      l0_S, np.where(np.arange(S) < first, ALIVE, F)
    )
    assert int(state.step) == (k + 1) * S
    # Donated: the old weights are gone, not copied.
    assert given.stacks['d'].sae.W_enc_AF.is_deleted()
    assert given.stacks['d'].silent_F.is_deleted()


def test_a_chunk_redraws_who_was_silent_for_the_window_from_its_own_rows():
  # Silent since step 0, asked at step 4: 4 steps are a window, 5 are not.
  def dictionary(window):
    resampling = settings.Resampling(steps=(4,), window=window, candidates=16)
    return settings.Dictionary(features=F, lr=0.0, resampling=resampling)

  dictionaries = {'d': dictionary(4), 'patient': dictionary(5)}
  chunk = train.make_chunk(STREAM, dictionaries, forward)
  state = states.init_stream(dictionaries, A)
  state, stats = chunk(kill(state, dictionaries, 0), table(), *chunk_inputs(0))
  assert np.asarray(stats['d']['resampled']).sum() == F - ALIVE
  assert np.asarray(stats['patient']['resampled']).sum() == 0
  tokens_CT, _, _ = chunk_inputs(0)
  own = np.asarray(table())[np.unique(tokens_CT)]
  own /= np.linalg.norm(own, axis=1, keepdims=True)
  drawn = np.asarray(state.dictionaries['d'].sae.W_dec_FA)[ALIVE:]
  cosine = drawn @ own.T
  np.testing.assert_allclose(cosine.max(1), 1, rtol=1e-5)
  assert len(set(cosine.argmax(1))) == len(drawn)


def test_a_redrawn_feature_fires_on_its_share_of_the_batch_in_the_chunk():
  # 8 rows a batch: at 0.25, 2 of them lie above the threshold. At rate 0
  # nothing but the resampling before step 0 of this chunk changes a feature.
  c = settings.Dictionary(
    features=F,
    lr=0.0,
    fires_on=0.25,
    resampling=settings.Resampling(
      steps=(S,), window=3, candidates=16, placement='residual'
    ),
  )
  chunk = train.make_chunk(STREAM, {'d': c}, forward)
  state, _ = chunk(states.init_stream({'d': c}, A), table(), *chunk_inputs(0))
  given = kill(state, {'d': c}, 3)
  lm, inputs = table(), chunk_inputs(1)
  x_NA = first_batch(lm, inputs, 1)
  state, stats = chunk(given, lm, *inputs)
  assert np.asarray(stats['d']['resampled']).sum() == F - ALIVE
  w = arrays(state.dictionaries['d'].sae)
  f_NF = (x_NA - w['b_dec_A']) @ w['W_enc_AF'] + w['b_enc_F']
  np.testing.assert_array_equal((f_NF > 0).sum(0)[ALIVE:], 2)
  np.testing.assert_allclose(
    w['W_dec_FA'][ALIVE:], w['W_enc_AF'].T[ALIVE:], rtol=1e-6
  )


def first_batch(lm, inputs, chunk: int) -> np.ndarray:
  """The rows of a chunk's first batch, x_NA."""
  rows_UGrA = stream.harvest(STREAM, forward, lm, *inputs, jnp.float32)
  index_SMGn = stream.shuffled_index(STREAM, jnp.int32(chunk))
  rows = Rows(rows_UGrA=rows_UGrA, index_SMGn=index_SMGn)
  return np.concatenate([rows.take(i) for i in index_SMGn[0]])
