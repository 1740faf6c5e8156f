"""Anthropic's recipe of April 2024 on the one-layer transformer.

  monosem all --config=configs/april.py --workdir=runs/april \
    --config.text.paths='pile/*.jsonl.zst'

The transformer and the text are those of a1.py. Published settings
(https://transformer-circuits.pub/2024/april-update): 131,072 features; 200,000
steps of 4,096 activations, scaled to a mean norm of sqrt(512); l1 of 2, 5 and
10, which gave an L0 of 99.6, 38.7 and 20.1; Adam's learning rate of 5e-5,
decayed to 0 over the last fifth; l1 warmed up over the first twentieth;
gradients clipped to norm 1. This config has not been run at full length, so
there is no result to quote.
"""

import a1
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = a1.get_config()
  with c.unlocked():
    c.stream.update(batch_size=4_096, micro_batch=1_024, steps=200_000)
    c.sae = dict(
      features=131_072,
      recipe='april',
      normalize='unit',
      lr=5e-5,
      l1_warmup=0.05,
      lr_decay=0.2,
      clip_norm=1.0,
      # No resampling. A feature is dead after 10 million activations on which
      # it was silent.
      resampling=dict(steps=(), window=2_441),
    )
    c.dictionaries = dict(A1=dict(l1=5.0), A2=dict(l1=2.0), A3=dict(l1=10.0))
  return c
