"""Dictionaries stacked on one stream: each as if it were alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monosem_jax.config import settings
from monosem_jax.dictionary import state as states, train

A, T, C, S = 10, 8, 16, 8
STREAM = settings.Stream(
  contexts_per_chunk=C,
  positions_per_context=8,
  shuffle_groups=4,
  micro_batches=2,
  batch_size=16,
  micro_batch=8,
  steps=2 * S,
  precision='float32',
)
BASE = settings.Dictionary(
  features=24,
  lr=1e-2,
  l1=1e-3,
  resampling=settings.Resampling(steps=(4, 10), window=3, candidates=96),
)
# Three of one shape, each with values of its own; and four that differ.
DICTIONARIES = {
  'A0': BASE,
  'A1': dataclasses.replace(BASE, features=32),
  'A2': dataclasses.replace(BASE, l1=3e-2, lr=3e-3, seed=7),
  'A3': dataclasses.replace(BASE, beta2=0.9),
  'A4': dataclasses.replace(BASE, l1=1e-2, seed=1),
  'A5': dataclasses.replace(
    BASE, resampling=dataclasses.replace(BASE.resampling, steps=())
  ),
  'A6': settings.Dictionary(
    features=24,
    recipe='april',
    lr=1e-2,
    l1=0.1,
    l1_warmup=0.3,
    lr_decay=0.5,
    clip_norm=0.1,
    resampling=settings.Resampling(steps=()),
  ),
}


def forward(lm, tokens_BT):
  return lm[tokens_BT]


def inputs(k: int):
  rng = np.random.default_rng(k)
  return (
    rng.integers(64, size=(C, T)).astype(np.int32),
    np.arange(C, dtype=np.int32),
    np.full(C, k, np.int32),
  )


def started(dictionaries) -> states.StreamState:
  """Some features can never fire until they are re-drawn."""
  of = {}
  for name, c in dictionaries.items():
    state = states.init(c, A)
    low_F = -100 * (jnp.arange(c.features) % 3 == 0).astype(jnp.float32)
    of[name] = state.replace(sae=state.sae.replace(b_enc_F=low_F))
  return states.StreamState.of(jnp.int32(0), dictionaries, of)


def run(dictionaries, stack: str, lm) -> tuple[dict, list]:
  c = dataclasses.replace(STREAM, stack=stack)
  chunk, seen = train.make_chunk(c, dictionaries, forward), []
  state = jax.jit(lambda: started(dictionaries))()
  for k in range(2):
    state, stats = chunk(state, lm, *inputs(k))
    seen.append(jax.device_get(stats))
  return jax.device_get(state.dictionaries), seen


@functools.cache
def model() -> jax.Array:
  rng = np.random.default_rng(3)
  return jnp.asarray(np.maximum(rng.normal(size=(64, A)), 0), jnp.float32)


@functools.cache
def alone(name: str) -> tuple:
  state, seen = run({name: DICTIONARIES[name]}, 'map', model())
  return state[name], [stats[name] for stats in seen]


def test_equal_shapes_are_one_stack():
  assert states.stacks(DICTIONARIES) == [
    ('A0', 'A2', 'A4'),
    ('A1',),
    ('A3',),
    ('A5',),
    ('A6',),
  ]
  state = started(DICTIONARIES)
  assert state.stacks['A0,A2,A4'].sae.W_enc_AF.shape == (3, A, 24)
  assert list(state.dictionaries['A2'].silent_F.shape) == [24]
  np.testing.assert_allclose(float(state.dictionaries['A2'].lr), 3e-3)


@pytest.mark.parametrize('stack', ['map', 'vmap'])
def test_each_result_is_that_of_training_it_alone(stack):
  got, seen = run(DICTIONARIES, stack, model())
  assert got.keys() == DICTIONARIES.keys()
  for name in DICTIONARIES:
    want, want_seen = alone(name)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
      got[name],
      want,
    )
    for stats, want_stats in zip(seen, want_seen, strict=True):
      np.testing.assert_array_equal(
        stats[name]['resampled'], want_stats['resampled']
      )
      np.testing.assert_allclose(
        stats[name]['loss'], want_stats['loss'], rtol=1e-4
      )
    redrawn = sum(s[name]['resampled'].sum() for s in seen)
    assert (redrawn > 0) == (name not in ('A5', 'A6'))
  # The values of each took part: no two of a stack came out alike.
  for a, b in [('A0', 'A2'), ('A2', 'A4'), ('A0', 'A4')]:
    assert np.abs(got[a].sae.W_enc_AF - got[b].sae.W_enc_AF).max() > 1e-2


@pytest.mark.parametrize('stack', ['map', 'vmap'])
def test_resampling_stays_a_branch_that_is_not_taken(stack):
  # A batched predicate would make it a select, paid for at every step.
  three = {n: DICTIONARIES[n] for n in ('A0', 'A2', 'A4')}
  c = dataclasses.replace(STREAM, stack=stack)
  chunk = train.make_chunk(c, three, forward)
  state = jax.eval_shape(lambda: started(three))
  text = chunk.lower(state, model(), *inputs(0)).compile().as_text()
  assert text.count(' conditional(') == 1


def test_the_transformer_runs_once_for_all_of_them():
  # As many forward passes in the program as with one dictionary.
  def calls(dictionaries):
    count = []

    def counted(lm, tokens_BT):
      count.append(tokens_BT.shape)
      return forward(lm, tokens_BT)

    chunk = train.make_chunk(STREAM, dictionaries, counted)
    state = jax.eval_shape(lambda: started(dictionaries))
    chunk.lower(state, model(), *inputs(0))
    return count

  assert calls(DICTIONARIES) == calls({'A0': BASE})
