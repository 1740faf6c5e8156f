"""One transformer and three sizes of dictionary, in minutes on one GPU.

  monosem all --config=configs/single_gpu.py --workdir=runs/single_gpu \
    --config.text.source=jsonl --config.text.paths='pile/*.jsonl.zst'

Widths, chunk and batch are those of A/1, see configs/a1.py. The vocabulary and
the lengths of training suit some 150 MB of text. As in configs/quickstart.py,
`init` and `placement` depart from the paper. Dictionaries are resampled at a
tenth of the paper's steps and trained for 16 thousand steps instead of a
million. On an H200 it takes three and a half minutes from the transformer to
the page; launch/benchmark/README.md has the measurements.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = ConfigDict()
  # Scripts and codes, where the text has them, are thinned to be as rare as in
  # The Pile.
  scripts = 'arabic chinese hebrew japanese korean other_languages russian'
  keep = dict.fromkeys(scripts.split(), 0.05)
  keep |= dict.fromkeys(('base64', 'dna', 'hex'), 0.08)
  c.text = dict(source='installed', keep={'*': 1.0, **keep}, context=256)
  c.tokenizer = dict(vocab_size=8_192, sample_chars=40_000_000)
  # 262 million tokens.
  c.lm = dict(
    steps=8_000,
    batch_size=128,
    lr=3e-3,
    warmup_steps=300,
    steps_per_chunk=100,
    eval_contexts=1_024,
  )
  c.models = dict(A=dict(seed=0))
  # 131 million activations.
  c.stream = dict(
    contexts_per_chunk=4_096,
    positions_per_context=250,
    shuffle_groups=8,
    micro_batches=16,
    batch_size=8_192,
    steps=16_000,
  )
  c.sae = dict(
    lr=1e-3,
    lr_decay=0.2,
    normalize='unit',
    l1=0.0125,
    init='data',
    resampling=dict(
      steps=(2_500, 5_000, 7_500, 10_000),
      window=1_250,
      candidates=819_200,
      placement='residual',
    ),
  )
  c.dictionaries = dict(
    A0=dict(features=512), A1=dict(features=4_096), A2=dict(features=16_384)
  )
  c.evaluation = dict(contexts=2_048)
  # 10 million tokens, enough for ultralow densities.
  c.features = dict(contexts=39_168, batch_size=64)
  c.analysis = dict(main='A1')
  c.checkpoint = dict(every_chunks=20)
  return c.lock()
