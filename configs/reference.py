"""Two transformers and three sizes of dictionary, in five hours on two cores.

  monosem all --config=configs/reference.py --workdir=runs/reference \
    --config.text.source=jsonl --config.text.paths='pile/*.jsonl.zst'

It is meant for some 150 MB of text in The Pile's format, with different
subsets. As in configs/quickstart.py, `init` and `placement` depart from the
paper. A/0, A/1 and A/2 share one l1 and grow by factors of 4; the paper's grow
by 8 and 4. A/3 to A/5 have the size of A/0 and other values of l1, for the
frontier of L0 and loss. B is trained like A from another seed, and S is A with
shuffled weights.

Speeds on two cores of an AMD EPYC with AVX-512 (jax 0.10.2), beside other work:
the transformers train at 15,300 and 25,500 tokens/s, the six dictionaries of A
at 6,300 activations/s, and those of B and S at 25,000 activations/s. The
features pass runs at 70,000 tokens/s, and the analyses take an hour and a half.
The results are in launch/reference/README.md.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = ConfigDict()
  # Scripts and codes, where the text has them, are thinned to be as rare as in
  # The Pile.
  scripts = 'arabic chinese hebrew japanese korean other_languages russian'
  keep = dict.fromkeys(scripts.split(), 0.05)
  keep |= dict.fromkeys(('base64', 'dna', 'hex'), 0.08)
  c.text = dict(source='installed', keep={'*': 1.0, **keep}, context=128)
  c.tokenizer = dict(vocab_size=4_096, sample_chars=40_000_000)
  c.lm = dict(
    steps=10_000,
    batch_size=32,
    micro_batch=4,
    lr=3e-3,
    warmup_steps=200,
    steps_per_chunk=20,
    eval_contexts=512,
  )
  c.models = dict(
    A=dict(seed=0), B=dict(seed=1, data_seed=1), S=dict(shuffle_of='A')
  )
  c.stream = dict(
    contexts_per_chunk=512,
    positions_per_context=64,
    shuffle_groups=8,
    micro_batches=8,
    batch_size=2_048,
    micro_batch=1_024,
    steps=12_000,
  )
  c.sae = dict(
    lr=1e-3,
    lr_decay=0.2,
    normalize='unit',
    l1=0.0125,
    init='data',
    resampling=dict(
      steps=(2_000, 4_000, 6_000, 8_000),
      window=1_000,
      candidates=32_768,
      placement='residual',
    ),
  )
  c.dictionaries = dict(
    A0=dict(features=512),
    A1=dict(features=2_048),
    A2=dict(features=8_192),
    A3=dict(features=512, l1=0.0063),
    A4=dict(features=512, l1=0.0088),
    A5=dict(features=512, l1=0.018),
    B1=dict(features=2_048),
    # A control with about the L0 of the trained A/1.
    S1=dict(features=2_048, l1_target_l0=6.0),
  )
  c.evaluation = dict(contexts=1_024)
  # 10 million tokens, enough for ultralow densities.
  c.features = dict(contexts=78_336)
  c.analysis = dict(main='A1')
  c.checkpoint = dict(every_chunks=10)
  return c.lock()
