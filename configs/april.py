"""Anthropic's recipe of April 2024 on the one-layer transformer.

  monosem all --config=configs/april.py --workdir=runs/april \
    --config.text.paths='pile/*.jsonl.zst'

Transformer and text as in a1.py. Published
(https://transformer-circuits.pub/2024/april-update): 131,072 features, 200,000
steps of 4,096 activations that are scaled to a mean norm of sqrt(512), l1 2, 5
and 10 with an L0 of 99.6, 38.7 and 20.1, Adam's learning rate 5e-5 falling to 0
over the last fifth, l1 rising over the first twentieth, gradients clipped to
norm 1. Not yet run at full length: no result to quote.
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
      # Nothing is resampled; silent for 10 million activations counts as dead.
      resampling=dict(steps=(), window=2_441),
    )
    c.dictionaries = dict(A1=dict(l1=5.0), A2=dict(l1=2.0), A3=dict(l1=10.0))
  return c
