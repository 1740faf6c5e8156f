"""The whole flow on two CPU cores, on the text of this Python installation.

  launch/quickstart.sh
  monosem all --config=configs/quickstart.py --workdir=runs/quickstart

The dictionary departs from the paper in two settings, `init` and `placement`.
With the paper's, more than half of the features would be dead or in the low
mode after so short a training; `monosem_jax/dictionary/place.py` has the
measurements.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = ConfigDict()
  c.text = dict(source='installed', keep={'*': 0.25}, context=128)
  c.tokenizer = dict(vocab_size=4_096, sample_chars=5_000_000)
  c.lm = dict(
    steps=640,
    batch_size=32,
    micro_batch=4,
    lr=4e-3,
    warmup_steps=64,
    steps_per_chunk=10,
    eval_contexts=256,
  )
  c.models = dict(A=dict(seed=0))
  c.stream = dict(
    contexts_per_chunk=256,
    positions_per_context=64,
    shuffle_groups=8,
    micro_batches=4,
    batch_size=1_024,
    micro_batch=1_024,
    steps=2_400,
  )
  c.sae = dict(
    lr=1e-3,
    lr_decay=0.2,
    normalize='unit',
    l1_target_l0=8.0,
    init='data',
    resampling=dict(
      steps=(560, 880, 1_200),
      window=240,
      candidates=16_384,
      placement='residual',
    ),
  )
  c.dictionaries = dict(A1=dict(features=1_024))
  c.evaluation = dict(contexts=512)
  c.features = dict(contexts=6_144)
  c.checkpoint = dict(every_chunks=20)
  return c.lock()
