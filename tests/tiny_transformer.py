"""A transformer of a few dimensions, to sample from."""

import jax
import numpy as np

from monosem_jax.config import settings
from monosem_jax.transformer import train as lm_train, weights

D, A, V, T, B, START = 16, 24, 40, 10, 3, 4
LM = settings.Transformer(d_model=D, d_mlp=A, n_heads=2, precision='float32')


def transformer():
  init = lambda: lm_train.init(LM, vocab_size=V, context=T, separator=0)
  like = jax.eval_shape(init).model
  rng = np.random.default_rng(1)
  found = {
    name: rng.normal(name.rpartition('.')[2].startswith('w_'), 0.4, x.shape)
    for name, x in weights.tensors(like).items()
  }
  return weights.load(like, {n: np.float32(x) for n, x in found.items()})
