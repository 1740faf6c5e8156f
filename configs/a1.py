"""The paper's run A/1, with all its published numbers.

  monosem all --config=configs/a1.py --workdir=runs/a1 \
    --config.text.paths='pile/*.jsonl.zst'

It needs an accelerator. `--dry_run` works anywhere and prints sizes and memory;
with `--target=v5e:1x1` or `h100:8` it also prints the estimates of that chip's
compiler. On a TPU v5e, use --config.stream.micro_batch=4096
--config.stream.micro_batches=64 to keep f_NF in the chip's vector memory.

Published settings: one layer, widths 128 and 512, ReLU, 100 billion tokens; 250
activations from each of 40 million contexts, batches of 8,192 for a million
steps; 4,096 features, l1 0.004; resampling at 25, 50, 75 and 100 thousand
steps, with a window of 12,500 steps and 819,200 candidates. The paper does not
give the transformer's heads, context, schedule and batch, nor the dictionary's
learning rate; these are ours. This config has not been run at full length, so
there is no result to quote.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = ConfigDict()
  c.text = dict(
    source='jsonl',
    paths=('pile/*.jsonl.zst',),
    context=256,
    val_fraction=0.002,
  )
  c.tokenizer = dict(vocab_size=65_536, sample_chars=1_000_000_000)
  c.lm = dict(
    n_layers=1,
    d_model=128,
    d_mlp=512,
    n_heads=4,
    activation='relu',
    # 763,000 x 512 x 256 = 100.0 billion tokens.
    steps=763_000,
    batch_size=512,
    micro_batch=128,
    lr=2e-3,
    warmup_steps=2_000,
    steps_per_chunk=100,
    eval_contexts=8_192,
  )
  c.models = dict(A=dict(seed=0))
  c.stream = dict(
    contexts_per_chunk=4_096,
    positions_per_context=250,
    shuffle_groups=8,
    micro_batches=16,
    batch_size=8_192,
    steps=1_000_000,
  )
  c.sae = dict(
    l1=0.004,
    lr=1e-4,
    resampling=dict(
      steps=(25_000, 50_000, 75_000, 100_000),
      window=12_500,
      candidates=819_200,
    ),
  )
  c.dictionaries = dict(A1=dict(features=4_096))
  # 10 million tokens, enough for ultralow densities.
  c.evaluation = dict(contexts=40_960, batch_size=64)
  # 100 million tokens, as on the paper's page.
  c.features = dict(contexts=390_656, batch_size=64)
  c.checkpoint = dict(every_chunks=200)
  return c.lock()
