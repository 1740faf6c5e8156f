"""What recipes share of the optimizer: Adam, and the pace of a training."""

import jax
import jax.numpy as jnp
import optax

from monosem_jax.config import settings


def adam(
  c: settings.Dictionary,
  lr: jax.Array | float,
  *before: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """Adam on gradients that pass `before` first and are clipped if so set."""
  parts = [*before]
  if c.clip_norm:
    parts.append(optax.clip_by_global_norm(c.clip_norm))
  return optax.chain(*parts, optax.adam(lr, b1=c.beta1, b2=c.beta2))


def pace(
  c: settings.Dictionary, step: jax.Array, steps: int
) -> tuple[jax.Array | float, jax.Array | float]:
  """What the L1 coefficient and the learning rate are multiplied with.

  Args:
    c: settings; `l1_warmup` and `lr_decay` are shares of the training.
    step: steps done before.
    steps: of the whole training.
  """
  done = step.astype(jnp.result_type(float)) / steps
  l1: jax.Array | float = 1.0
  lr: jax.Array | float = 1.0
  if c.l1_warmup:
    l1 = jnp.minimum(done / c.l1_warmup, 1)
  if c.lr_decay:
    lr = jnp.minimum((1 - done) / c.lr_decay, 1)
  return l1, lr
