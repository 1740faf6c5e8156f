"""Neuron resampling, entry by entry and in the chunk."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import recipes, state as states, stream, train
from monosem_jax.dictionary.resample import draw, resample
from monosem_jax.dictionary.stream import Rows

A, F, R, WINDOW = 5, 12, 40, 100
ARRAYS = ('W_enc_AF', 'b_enc_F', 'W_dec_FA', 'b_dec_A')
DEAD = {
  'some': np.isin(np.arange(F), [0, 3, 4, 11]),
  'all': np.ones(F, bool),
  'none': np.zeros(F, bool),
}


@pytest.fixture
def double_precision():
  # Standard promotion: in float64 the settings' float32 meets wider operands.
  with jax.enable_x64(True), jax.numpy_dtype_promotion('standard'):
    yield


FIRES_ON = 0.3


def dictionary(**changes) -> settings.Dictionary:
  resampling = settings.Resampling(window=WINDOW, **changes)
  return settings.Dictionary(
    features=F, fires_on=FIRES_ON, resampling=resampling
  )


def mid_training(c: settings.Dictionary, dead_F: np.ndarray):
  """A state with no zero anywhere, in which `dead_F` were silent for long."""
  rng = np.random.default_rng(0)
  noise = lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype)
  state = states.init(c, A)
  opt_state = optax.tree.map_params(
    recipes.of(c).optimizer(c, c.lr), noise, state.opt_state
  )
  # On the border: exactly the window is dead, one step less is not.
  silent_F = np.where(dead_F, WINDOW + np.arange(F) % 2 * 7, WINDOW - 1)
  return state.replace(
    sae=jax.tree.map(noise, state.sae),
    opt_state=opt_state,
    silent_F=jnp.asarray(silent_F, jnp.int32),
  )


def arrays(sae) -> dict[str, np.ndarray]:
  return {k: np.array(getattr(sae, k)) for k in ARRAYS}


def adam(state):
  (found,) = [s for s in state.opt_state[1] if hasattr(s, 'mu')]
  return found


def candidates():
  rng = np.random.default_rng(1)
  return rng.random(R) ** 2, np.abs(rng.normal(size=(R, A)))


def batch():
  """A batch of 2 x 10 rows, M x N x A."""
  return np.abs(np.random.default_rng(2).normal(size=(2, 10, A)))


def oracle(c, state, key):
  """The new arrays and moments, one dead feature after the other."""
  loss_R, x_RA = candidates()
  noise_R = np.asarray(jax.random.gumbel(key, (R,), jnp.float64))
  order = np.argsort(-(np.log(loss_R**2) + noise_R), kind='stable')
  dead = np.flatnonzero(np.asarray(state.silent_F) >= c.window)
  w, old = arrays(state.sae), arrays(state.sae)
  mu, nu = arrays(adam(state).mu), arrays(adam(state).nu)
  alive = np.setdiff1d(np.arange(F), dead)
  counted = alive if alive.size else np.arange(F)
  mean = np.mean([np.linalg.norm(w['W_enc_AF'][:, i]) for i in counted])
  for rank, i in enumerate(dead):
    x_A = x_RA[order[rank]]
    if c.placement == 'residual':
      pre_F = (x_A - old['b_dec_A']) @ old['W_enc_AF'] + old['b_enc_F']
      x_A = x_A - np.maximum(pre_F, 0) @ old['W_dec_FA'] - old['b_dec_A']
    elif c.subtract == 'decoder_bias':
      x_A = x_A - w['b_dec_A']
    unit_A = x_A / np.sqrt(x_A @ x_A)
    w['W_dec_FA'][i] = unit_A
    if c.placement == 'residual':
      product_N = np.sort((batch().reshape(-1, A) - w['b_dec_A']) @ unit_A)
      w['W_enc_AF'][:, i] = unit_A
      # 0.3 of 20 rows lie above it: between the 6th and the 7th.
      w['b_enc_F'][i] = -(product_N[-6] + product_N[-7]) / 2
    else:
      w['W_enc_AF'][:, i] = c.encoder_scale * mean * unit_A
      w['b_enc_F'][i] = 0
    for m in (mu, nu):
      m['W_dec_FA'][i] = m['W_enc_AF'][:, i] = m['b_enc_F'][i] = 0
  return w, mu, nu, dead


@pytest.mark.parametrize(
  'changes',
  (
    {'subtract': 'none'},
    {'subtract': 'decoder_bias'},
    {'placement': 'residual'},
  ),
  ids=lambda changes: '-'.join(changes.values()),
)
@pytest.mark.parametrize('which', DEAD)
def test_resampling_writes_what_its_placement_says_and_nothing_else(
  which, changes, double_precision
):
  dead_F = DEAD[which]
  c = dictionary(encoder_scale=0.3, **changes)
  before, key = mid_training(c, dead_F), jax.random.key(7)
  loss_R, x_RA = candidates()
  pick = lambda at_F: jnp.asarray(x_RA)[at_F]
  after, count = resample(
    c,
    recipes.of(c).optimizer(c, c.lr),
    before,
    jnp.asarray(loss_R),
    pick,
    jnp.asarray(batch()),
    key,
    Dot(jnp.dtype('float32')),
  )
  w, mu, nu, dead = oracle(c.resampling, before, key)
  assert int(count) == dead.size == dead_F.sum()
  for got, want in (
    (arrays(after.sae), w),
    (arrays(adam(after).mu), mu),
    (arrays(adam(after).nu), nu),
  ):
    for k in ARRAYS:
      np.testing.assert_allclose(got[k], want[k], rtol=1e-12, err_msg=k)
  # The living, their moments and the decoder bias keep every bit.
  for old, new in (
    (before.sae, after.sae),
    (adam(before).mu, adam(after).mu),
    (adam(before).nu, adam(after).nu),
  ):
    old, new = arrays(old), arrays(new)
    np.testing.assert_array_equal(
      old['W_enc_AF'][:, ~dead_F], new['W_enc_AF'][:, ~dead_F]
    )
    np.testing.assert_array_equal(
      old['b_enc_F'][~dead_F], new['b_enc_F'][~dead_F]
    )
    np.testing.assert_array_equal(
      old['W_dec_FA'][~dead_F], new['W_dec_FA'][~dead_F]
    )
    np.testing.assert_array_equal(old['b_dec_A'], new['b_dec_A'])
  assert int(adam(after).count) == int(adam(before).count)
  np.testing.assert_array_equal(
    after.silent_F, np.where(dead_F, 0, before.silent_F)
  )
  assert (after.l1, after.scale) == (before.l1, before.scale)


@pytest.mark.parametrize('loss', ['mse', 'total'])
def test_candidates_are_measured_by_the_loss_asked_for(loss, double_precision):
  c = dictionary(loss=loss, candidates=24)
  rng = np.random.default_rng(2)
  state = mid_training(c, DEAD['none']).replace(
    l1=jnp.asarray(0.3), scale=jnp.asarray(1.5)
  )
  rows_UGrA = rng.random((3, 2, 8, A))
  order_GR = np.stack([rng.permutation(24) for _ in range(2)])
  # 4 batches of 12 in 2 micro-batches of 2 groups of 3.
  index_SMGn = order_GR.reshape(2, 4, 2, 3).transpose(1, 2, 0, 3)
  rows = Rows(jnp.asarray(rows_UGrA), jnp.asarray(index_SMGn))
  got = train.candidate_losses(c, state, rows, 12, Dot(jnp.dtype('float32')))
  w, want = arrays(state.sae), []
  for s, m, g, n in np.ndindex(2, 2, 2, 3):
    i = index_SMGn[s, m, g, n]
    x_A = 1.5 * rows_UGrA[i // 8, g, i % 8]
    f_F = np.maximum((x_A - w['b_dec_A']) @ w['W_enc_AF'] + w['b_enc_F'], 0)
    mse = np.mean((f_F @ w['W_dec_FA'] + w['b_dec_A'] - x_A) ** 2)
    want.append(mse + (0.3 * f_F.sum() if loss == 'total' else 0))
  np.testing.assert_allclose(got, want, rtol=1e-12)


def test_one_draw_follows_the_square_of_the_loss():
  loss_R, n = jnp.asarray([0.1, 0.5, 1, 1.5, 2, 2.5, 3, 0.7]), 20_000
  keys = jax.random.split(jax.random.key(0), n)
  drawn = jax.vmap(lambda key: draw(key, loss_R, 1)[0])(keys)
  seen_R = np.bincount(drawn, minlength=8)
  p_R = np.asarray(loss_R, np.float64) ** 2
  expected_R = n * p_R / p_R.sum()
  # Chi-square with 7 degrees of freedom: above 30 once in 10,000 seeds.
  assert ((seen_R - expected_R) ** 2 / expected_R).sum() < 30


def test_second_draw_follows_the_square_of_the_loss_among_the_rest():
  loss_R, n = np.asarray([1.0, 2.0, 3.0]), 20_000
  keys = jax.random.split(jax.random.key(1), n)
  drawn = jax.vmap(lambda key: draw(key, jnp.asarray(loss_R, jnp.float32), 2))(
    keys
  )
  seen = np.bincount(np.asarray(drawn) @ [3, 1], minlength=9).reshape(3, 3)
  p = loss_R**2 / (loss_R**2).sum()
  expected = n * p[:, None] * p / (1 - p[:, None])
  off = ~np.eye(3, dtype=bool)
  assert not seen[~off].any()
  chi = ((seen - expected) ** 2 / expected)[off].sum()
  assert chi < 26  # 5 degrees of freedom: once in 10,000 seeds


def test_draws_are_distinct_and_leave_rows_without_loss_for_last():
  # One row holds nearly all the probability; rows above 50 hold none.
  loss_R = jnp.where(jnp.arange(100) < 50, 1.0, 0.0).at[7].set(1e6)
  drawn = np.asarray(draw(jax.random.key(2), loss_R, 60))
  assert len(set(drawn)) == 60
  assert drawn[0] == 7
  assert set(drawn[:50]) == set(range(50))
  everything = np.asarray(draw(jax.random.key(3), loss_R, 100))
  assert sorted(everything) == list(range(100))


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


@pytest.fixture
def compiled():
  """Grows by one whenever XLA compiles something."""
  times = []

  def note(event, seconds, **unused):
    if event.endswith('backend_compile_duration'):
      times.append(seconds)

  jax.monitoring.register_event_duration_secs_listener(note)
  yield times
  jax.monitoring.unregister_event_duration_listener(note)


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
