"""Planted directions, twice as many as dimensions, are found again."""

import jax.numpy as jnp
import numpy as np

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import (
  init as dictionary_init,
  state as states,
  train,
)
from monosem_jax.dictionary.sae import unit_rows

A, TRUE, F, ALIVE = 32, 64, 96, 12
SAMPLES, T = 32_768, 32
STREAM = settings.Stream(
  contexts_per_chunk=SAMPLES // T,
  positions_per_context=T,
  shuffle_groups=2,
  micro_batches=4,
  batch_size=256,
  steps=16 * SAMPLES // 256,
  precision='float32',
)
S = SAMPLES // STREAM.batch_size


def truth() -> tuple[np.ndarray, np.ndarray]:
  """Unit directions, and samples in which few of them are active."""
  rng = np.random.default_rng(0)
  directions = rng.normal(size=(TRUE, A))
  directions /= np.linalg.norm(directions, axis=1, keepdims=True)
  active = rng.random((SAMPLES, TRUE)) < 2 / TRUE
  weights = active * rng.uniform(0.5, 1.5, size=active.shape)
  return directions, (weights @ directions).astype(np.float32)


def paper(resample_at: tuple[int, ...]) -> settings.Dictionary:
  return settings.Dictionary(
    features=F,
    l1=0.003,
    lr=3e-3,
    resampling=settings.Resampling(
      steps=resample_at, window=S // 2, candidates=4_096
    ),
  )


def recovered(c: settings.Dictionary, alive: int) -> float:
  """Mean over true directions of the cosine with the nearest decoder row.

  The transformer's stand-in is a table of samples, which tokens index. At the
  start, all features but so many are too negative to ever fire.
  """
  directions, samples = truth()
  dot = Dot(jnp.dtype(jnp.float32))
  x_NA = jnp.asarray(samples[:2_000])
  d = dictionary_init.start(c, states.init(c, A), x_NA, dot)
  bias_F = jnp.where(jnp.arange(F) < alive, 0, -100).astype(jnp.float32)
  d = d.replace(sae=d.sae.replace(b_enc_F=bias_F))
  state = states.StreamState.of(jnp.int32(0), {'d': c}, {'d': d})
  chunk = train.make_chunk(STREAM, {'d': c}, lambda lm, tokens: lm[tokens])
  tokens_CT = np.arange(SAMPLES, dtype=np.int32).reshape(-1, T)
  context_C = np.arange(SAMPLES // T, dtype=np.int32)
  redrawn = 0
  for _ in range(STREAM.steps // S):
    state, stats = chunk(
      state, jnp.asarray(samples), tokens_CT, context_C, 0 * context_C
    )
    redrawn += int(stats['d']['resampled'].sum())
  if c.resampling.steps:
    assert redrawn >= F - alive
  W_dec_FA = np.asarray(unit_rows(state.dictionaries['d'].sae.W_dec_FA))
  return float((directions @ W_dec_FA.T).max(1).mean())


def test_resampling_recovers_the_planted_directions():
  with_resampling = recovered(paper((2 * S, 4 * S, 6 * S)), ALIVE)
  without = recovered(paper(()), ALIVE)
  assert with_resampling > 0.95
  assert without < 0.8


def test_april_recovers_them_without_resampling():
  c = settings.Dictionary(
    features=F,
    recipe='april',
    l1=0.3,
    lr=3e-3,
    l1_warmup=0.05,
    lr_decay=0.2,
    clip_norm=1.0,
    resampling=settings.Resampling(steps=()),
  )
  assert recovered(c, F) > 0.95
