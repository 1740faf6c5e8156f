"""A transformer of a few dimensions, of random weights."""

import dataclasses

import jax
import numpy as np

from monosem_jax.config import settings
from monosem_jax.transformer import train as lm_train, weights
from monosem_jax.transformer.model import Transformer

D, A, V, T, B, START = 16, 24, 40, 10, 3, 4
LM = settings.Transformer(d_model=D, d_mlp=A, n_heads=2, precision='float32')


def transformer(context: int = T, **changes) -> Transformer:
  """The same weights every time, in float64 if that is on.

  Args:
    context: the longest text.
    **changes: settings besides those of `LM`.
  """
  c = dataclasses.replace(LM, **changes)
  init = lambda: lm_train.init(c, vocab_size=V, context=context, separator=0)
  like = jax.eval_shape(init).model
  rng = np.random.default_rng(1)
  found = {
    name: rng.normal(name.rpartition('.')[2].startswith('w_'), 0.4, x.shape)
    for name, x in weights.tensors(like).items()
  }
  dtype = np.float64 if jax.config.jax_enable_x64 else np.float32
  return weights.load(like, {n: x.astype(dtype) for n, x in found.items()})


def shaken(lm: Transformer) -> Transformer:
  """Freshly initialised weights, so changed that every part has a say."""
  leaves, tree = jax.tree.flatten(lm)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  leaves = [
    x + 0.3 * jax.random.normal(k, x.shape)
    for x, k in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(tree, leaves)
