"""The whole flow in seconds, for tests and a first look.

  monosem all --config=configs/tiny.py --workdir=runs/tiny

It uses some megabytes of the text of the Python installation. It shows that
everything runs; its features mean little.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = ConfigDict()
  c.text = dict(
    source='installed',
    keep={'*': 0.01},
    max_document_chars=20_000,
    context=64,
    contexts_per_record=16,
  )
  c.tokenizer = dict(vocab_size=512, sample_chars=1_000_000)
  c.lm = dict(
    d_model=32,
    d_mlp=128,
    n_heads=2,
    steps=120,
    batch_size=32,
    micro_batch=8,
    lr=3e-3,
    warmup_steps=10,
    steps_per_chunk=20,
    eval_contexts=64,
  )
  c.models = dict(A=dict(seed=0))
  c.stream = dict(
    contexts_per_chunk=64,
    positions_per_context=32,
    shuffle_groups=4,
    micro_batches=2,
    batch_size=256,
    micro_batch=256,
    steps=160,
  )
  c.sae = dict(
    lr=1e-3,
    l1=2e-2,
    lr_decay=0.2,
    init='data',
    resampling=dict(
      steps=(40, 80), window=20, candidates=2_048, placement='residual'
    ),
  )
  c.dictionaries = dict(A1=dict(features=256))
  c.evaluation = dict(contexts=64)
  c.features = dict(contexts=256)
  c.checkpoint = dict(every_chunks=2)
  return c.lock()
