"""The paper's sweep A/0 to A/5: six sizes, one l1, one stream.

  monosem all --config=configs/sweep.py --workdir=runs/sweep \
    --config.text.paths='pile/*.jsonl.zst'

Apart from the dictionaries, it is a1.py. All six share the transformer's
forward pass and the rows of activations. The sizes are published, except those
of A/3 and A/4 (32,768 and 65,536), which are from second-hand sources. This
config has not been run at full length, so there is no result to quote.
"""

import a1
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = a1.get_config()
  with c.unlocked():
    # Bounds f_NF of A/5 at 4,096 x 131,072 numbers. By the compilers'
    # estimates, 1,024 rows are 22% (v5e) to 28% (H100) slower, since gradients
    # are added up more often, and all 8,192 rows at once are 6% and 1% slower.
    c.stream.micro_batch = 4_096
    # With 16 contexts f_NF of A/5 is 2 GiB; with 64 it would be 8 GiB.
    c.features.batch_size = 16
    c.dictionaries = dict(
      A0=dict(features=512),
      A1=dict(features=4_096),
      A2=dict(features=16_384),
      A3=dict(features=32_768),
      A4=dict(features=65_536),
      A5=dict(features=131_072),
    )
  return c
