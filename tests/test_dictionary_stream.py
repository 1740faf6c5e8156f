"""Every activation is trained on once, whatever the mesh."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import (
  STORE,
  C,
  T,
  chunks,
  counting_state,
  on_mesh,
  one_hot,
  place,
  stream,
)

from monosem_jax.config import settings
from monosem_jax.device import mesh as meshes
from monosem_jax.dictionary import state as states, train
from monosem_jax.dictionary.stream import (
  Rows,
  contexts_per_batch,
  harvest,
  joined,
  positions,
  shuffled_index,
)

MESHES = [(8, 1), (4, 2), (1, 8)]


def place_state(mesh, state):
  if mesh is None:
    return state
  return jax.device_put(state, meshes.shardings(mesh, state))


@functools.cache
def trained_on(c: settings.Stream, n: int, shape=None) -> np.ndarray:
  """step_KI: in chunk k, the step that trained on activation i, or -1."""
  ids = STORE * T
  S = c.contexts_per_chunk * c.positions_per_context // c.batch_size
  dictionary = settings.Dictionary(
    features=ids, lr=0.0, resampling=settings.Resampling(steps=())
  )
  found = []
  with on_mesh(shape) as mesh:
    chunk = train.make_chunk(c, {'d': dictionary}, one_hot)
    state = place_state(mesh, counting_state(dictionary, ids))
    for inputs in chunks(n, c.contexts_per_chunk):
      state, stats = chunk(state, jnp.ones(ids), *place(mesh, *inputs))
      silent_F = np.asarray(state.dictionaries['d'].silent_F)
      found.append(np.where(silent_F < S, S - 1 - silent_F, -1))
      # One feature per activation, so the firings are the rows trained on.
      np.testing.assert_array_equal(stats['d']['l0'], np.ones(S))
      assert (found[-1] >= 0).sum() == S * c.batch_size, 'a row came twice'
  return np.stack(found)


@pytest.mark.parametrize(('P', 'micro'), [(4, 16), (3, 0)])
def test_each_activation_is_trained_on_once_over_an_epoch_border(P, micro):
  # 3 chunks of 64 are 2 epochs of the 96 contexts; T // P = 2 slices.
  c = stream(positions_per_context=P, micro_batch=micro)
  times_I = (trained_on(c, 3) >= 0).sum(0)
  per_context = times_I.reshape(STORE, T)
  assert times_I.max() == 1
  np.testing.assert_array_equal(per_context.sum(1), 2 * P)
  if 2 * P < T:  # which positions are left out differs between contexts
    assert len({tuple(row) for row in per_context}) > 5


def test_after_all_slices_the_first_one_comes_again():
  # 6 chunks are 4 epochs, and there are 2 slices.
  times_I = (trained_on(stream(positions_per_context=3), 6) >= 0).sum(0)
  assert set(times_I) == {0, 2}


@pytest.mark.parametrize('shape', MESHES)
def test_batches_hold_the_same_activations_on_every_mesh(shape):
  c = stream(micro_batch=16)
  np.testing.assert_array_equal(trained_on(c, 1, shape), trained_on(c, 3)[:1])


def test_chunks_have_orders_of_their_own():
  # By the place that a row has in its chunk, not by what lies there.
  c = stream(positions_per_context=T, contexts_per_chunk=STORE, batch_size=96)
  orders = []
  for step_I, (_, context_C, epoch_C) in zip(
    trained_on(c, 2), chunks(2, STORE), strict=True
  ):
    position_CP = np.asarray(positions(c, context_C, epoch_C, T))
    orders.append(step_I[context_C[:, None] * T + position_CP])
  # By chance one row in 8 meets its step again.
  assert (orders[0] == orders[1]).mean() < 0.2


def test_a_batch_mixes_as_many_contexts_as_the_run_says():
  c = stream(micro_batch=16)
  step_KI = trained_on(c, 3)
  mixed = [
    len(np.unique(np.flatnonzero(step_I == s) // T))
    for step_I in step_KI
    for s in range(C * 4 // 64)
  ]
  # A simulation: of each group's 8 contexts x 4 rows, 8 are drawn.
  rng = np.random.default_rng(1)
  simulated = [
    sum(len(set(rng.permutation(32)[:8] // 4)) for _ in range(8))
    for _ in range(2_000)
  ]
  assert contexts_per_batch(c) == pytest.approx(np.mean(simulated), rel=0.005)
  assert np.mean(mixed) == pytest.approx(contexts_per_batch(c), rel=0.06)


@pytest.mark.parametrize('shape', [None, *MESHES])
def test_harvest_gathers_the_sampled_positions_of_each_context(shape):
  c = stream(positions_per_context=3, shuffle_groups=8)
  c = dataclasses.replace(c, contexts_per_chunk=128, micro_batches=2)
  rng = np.random.default_rng(2)
  lm = rng.normal(size=(50, 7)).astype(np.float32)
  tokens_CT = rng.integers(50, size=(128, T)).astype(np.int32)
  context_C = rng.permutation(500)[:128].astype(np.int32)
  epoch_C = rng.integers(3, size=128).astype(np.int32)

  def forward(lm, tokens_BT):  # depends on what stands before, as attention
    return jnp.cumsum(lm[tokens_BT], axis=1)

  with on_mesh(shape) as mesh:
    rows_UGrA = jax.jit(
      lambda *inputs: harvest(c, forward, *inputs, jnp.dtype(jnp.float32))
    )(jnp.asarray(lm), *place(mesh, tokens_CT, context_C, epoch_C))
  acts_CTA = np.cumsum(lm[tokens_CT], axis=1)
  position_CP = np.asarray(positions(c, context_C, epoch_C, T))
  kept_CPA = np.stack([acts_CTA[i, p] for i, p in enumerate(position_CP)])
  # Groups are runs of contexts, and so are micro-batches inside a group.
  want = kept_CPA.reshape(8, 2, 8 * 3, 7).swapaxes(0, 1)
  np.testing.assert_allclose(rows_UGrA, want, rtol=1e-5, atol=1e-5)


def test_pick_counts_rows_in_the_order_in_which_take_trains_on_them():
  c = stream(positions_per_context=3, batch_size=48, micro_batch=16)
  index_SMGn = shuffled_index(c, jnp.int32(3))
  assert index_SMGn.shape == (4, 3, 8, 2)
  rows = Rows(jnp.arange(192.0).reshape(1, 8, 24, 1), index_SMGn)
  taken = jnp.concatenate(
    [rows.take(index_Gn) for index_MGn in index_SMGn for index_Gn in index_MGn]
  )
  np.testing.assert_array_equal(rows.pick(jnp.arange(192)), taken)
  assert sorted(np.asarray(taken)[:, 0]) == list(range(192))
  some = jnp.asarray([5, 190, 5, 77])
  np.testing.assert_array_equal(rows.pick(some), taken[some])


def test_groups_never_exchange_rows():
  c = stream(positions_per_context=3, batch_size=48)
  index_SMGn = np.asarray(shuffled_index(c, jnp.int32(0)))
  for g in range(8):
    assert sorted(index_SMGn[:, :, g].ravel()) == list(range(24))
  assert not np.array_equal(index_SMGn[:, :, 0], index_SMGn[:, :, 1])


def two_dictionaries(shape, compiled):
  """Two dictionaries after 2 chunks with a resampling in each, and stats."""
  c = stream(batch_size=32, micro_batch=16)  # 8 steps a chunk
  resampling = settings.Resampling(steps=(5, 10), window=3, candidates=128)
  dictionaries = {
    'big': settings.Dictionary(
      features=32, lr=1e-2, l1=1e-3, resampling=resampling
    ),
    'small': settings.Dictionary(
      features=16,
      lr=1e-2,
      l1=1e-2,
      seed=1,
      resampling=dataclasses.replace(
        resampling, steps=(6,), loss='mse', subtract='decoder_bias'
      ),
    ),
  }
  lm = jnp.asarray(
    np.random.default_rng(3).random((STORE * T, 12)), jnp.float32
  )

  def forward(lm, tokens_BT):
    return jax.nn.relu(lm[tokens_BT] - 0.3)

  def started(c):
    d = states.init(c, 12)
    low_F = -100 * (jnp.arange(c.features) % 3 == 0).astype(jnp.float32)
    return d.replace(sae=d.sae.replace(b_enc_F=low_F))

  def init():
    return states.StreamState.of(
      jnp.int32(0),
      dictionaries,
      {n: started(d) for n, d in dictionaries.items()},
    )

  seen = []
  with on_mesh(shape) as mesh:
    chunk = train.make_chunk(c, dictionaries, forward)
    state = meshes.init_sharded(mesh, init) if mesh else init()
    for k, inputs in enumerate(chunks(2)):
      inputs, before = place(mesh, *inputs), len(compiled)
      state, stats = chunk(state, lm, *inputs)
      assert k == 0 or len(compiled) == before, 'compiled anew for a chunk'
      seen.append(jax.device_get(stats))
    if mesh:
      shards = state.dictionaries['big'].sae.W_dec_FA.addressable_shards
      assert [x.data.shape for x in shards] == [(32 // shape[1], 12)] * 8
  return jax.device_get(state), seen


@pytest.fixture(scope='module')
def unsharded():
  state, seen = two_dictionaries(None, [])
  big = [int(n) for stats in seen for n in stats['big']['resampled']]
  # 8 segments of 1 step each chunk: 5 in the first, 10 in the second.
  assert big[5] >= 11 and sum(big) == big[5] + big[10]
  small = np.concatenate([stats['small']['resampled'] for stats in seen])
  # Its only step due is 6: segments of 2.
  assert small[3] >= 6 and small.sum() == small[3]
  return state, seen


@pytest.mark.parametrize('shape', MESHES)
def test_dictionaries_train_and_resample_alike_on_every_mesh(
  shape, unsharded, compiled
):
  state, seen = two_dictionaries(shape, compiled)
  want_state, want_seen = unsharded
  for got, want in zip(seen, want_seen, strict=True):
    for name in want:
      np.testing.assert_array_equal(
        got[name]['resampled'], want[name]['resampled']
      )
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
  jax.tree.map(close, state, want_state)
  jax.tree.map(close, seen, want_seen)


def test_joined_chunks_are_taken_one_after_the_other():
  rng = np.random.default_rng(0)
  rows = lambda: rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
  # 2 micro-batches of 4 rows in each of 3 groups: 2 steps of 2 x 3 x 2 rows.
  index = lambda: np.stack(
    [rng.permutation(8).reshape(2, 2, 2) for _ in range(3)], 2
  ).astype(np.int32)
  chunks = [Rows(jnp.asarray(rows()), jnp.asarray(index())) for _ in range(3)]
  found = joined(chunks)
  got = [found.take(i) for step in found.index_SMGn for i in step]
  want = [c.take(i) for c in chunks for step in c.index_SMGn for i in step]
  np.testing.assert_array_equal(np.stack(got), np.stack(want))
  flat = jnp.arange(found.index_SMGn.size)
  np.testing.assert_array_equal(
    found.pick(flat), np.concatenate([np.asarray(x) for x in want])
  )
