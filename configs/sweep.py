"""The paper's sweep A/0 to A/5: six sizes, one l1, one stream.

  monosem all --config=configs/sweep.py --workdir=runs/sweep \
    --config.text.paths='pile/*.jsonl.zst'

As a1.py; all six share the transformer's forward pass and the rows. Sizes of
A/3 and A/4 are second-hand (32,768 and 65,536), the others published. Not yet
run at full length: no result to quote.
"""

import a1
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = a1.get_config()
  with c.unlocked():
    # Bounds f_NF of A/5 at 4,096 x 131,072 numbers. With 1,024 rows, gradients
    # are added up so often that it is 22% (v5e) to 28% (H100) slower, with all
    # 8,192 6% and 1%, by the compilers' estimates.
    c.stream.micro_batch = 4_096
    # f_NF of A/5 is 2 GiB; of 64 contexts it would be 8.
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
