"""The features pass, beside the bare forward and encode."""

import jax
import numpy as np

from launch.benchmark.bare import A, F, auto_dot, bias_for
from launch.benchmark.measure import SPEED, Speed, in_turn, ratio, table
from launch.benchmark.peers import timed
from launch.benchmark.streams import random_tokens, transformer
from monosem_jax.config import settings
from monosem_jax.device.cost import transformer as lm_cost
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.features import collect, examples
from monosem_jax.stages.programs import forward


def bench(rounds: int, peers: str | None) -> dict[str, Speed]:
  """Measures the whole pass, with windows, and forward and encode alone."""
  T, contexts = 128, 8_192
  c = settings.Features(batch_size=32)
  dot, lm = auto_dot(), transformer(T)
  tokens_CT = random_tokens(contexts, T)
  # With this bias about 20 features are active, as in a trained dictionary.
  sae = sae_lib.init(jax.random.key(0), A, F)
  x_NA = forward(lm, tokens_CT[:8]).reshape(-1, A)
  sae = sae.replace(b_enc_F=bias_for(x_NA @ sae.W_enc_AF, 20))

  @jax.jit
  def bare_step(lm, sae, tokens_BT):
    x_NA = forward(lm, tokens_BT).reshape(-1, A)
    return sae_lib.encode(sae, x_NA, dot)

  def bare():
    for i in range(0, contexts, c.batch_size):
      f_NF = bare_step(lm, sae, tokens_CT[i : i + c.batch_size])
    f_NF.block_until_ready()

  def batches():
    for i in range(0, contexts, c.batch_size):
      yield (
        tokens_CT[i : i + c.batch_size],
        np.arange(i, i + c.batch_size, dtype=np.int32),
      )

  def whole():
    found = collect.collect(
      c, forward, dot, lm, sae, batches, tokens_CT.size, lambda n: None
    )
    _, edge_F, _ = examples.histograms(found)
    context_FX, position_FX = examples.candidates(c, found, edge_F, contexts, T)
    seen = examples.look(
      c,
      forward,
      dot,
      lm,
      sae,
      lambda context_B: tokens_CT[context_B],
      context_FX,
      position_FX,
      lambda done, rows: None,
    )
    examples.choose(c, seen, context_FX)

  bare()
  whole()
  works = {'whole': lambda: timed(whole), 'bare': lambda: timed(bare)}
  found = in_turn(works, rounds or 2)
  flops = lm_cost.site_flops(settings.Transformer(), T) + 2 * A * F
  speeds = {x: Speed(tokens_CT.size, found[x], flops) for x in found}
  table(
    f'features: {tokens_CT.size:,} tokens, {F:,} features',
    ('', *SPEED, 'of forward and encode'),
    *(
      (x, *speeds[x].cells(), f'{ratio(found[x], found["bare"]):.2f}x')
      for x in found
    ),
  )
  return speeds
