"""What sets apart the ways to train a dictionary: `settings.Dictionary.recipe`.

`paper` is the paper's, its appendix on autoencoder training. `april` is that of
https://transformer-circuits.pub/2024/april-update: decoder rows of any norm,
which weighs the L1 term, no decoder bias in front of the encoder, errors summed
over the activation's elements:

  f = ReLU(x W_enc + b_enc), recon = f W_dec + b_dec,
  loss = mean over rows of [||x - recon||^2 + l1 * sum_i f_i ||W_dec_i||].

Whatever is trained has a `standard` form: the dictionary in the paper's shape
that has the same reconstructions, and whose loss is the paper's. Losses and
their gradients are written for that one alone; the gradient of what is trained
comes back through `standard`, once for a batch. Finished dictionaries are
standard, too.
"""

import jax
import jax.numpy as jnp
import optax

from monosem_jax.config import settings
from monosem_jax.device.precision import Dot
from monosem_jax.dictionary import sae as sae_lib
from monosem_jax.dictionary.sae import SAE, unit_rows


def init(c: settings.Dictionary, width: int) -> SAE:
  """The weights that a training starts from, before it has seen data.

  `c.init`: `paper` is the recipe's own, for the paper's see `sae.init`. `tied`:
  decoder rows of random directions, the encoder their transpose, biases 0.
  `data`: `init.start` puts every feature on an input.
  `april`: as `tied`, rows of norm `decoder_norm`.
  """
  key = jax.random.key(c.seed)
  if c.recipe == 'paper' and c.init == 'paper':
    return sae_lib.init(key, width, c.features)
  norm = c.decoder_norm if c.recipe == 'april' else 1.0
  W_dec_FA = norm * unit_rows(jax.random.normal(key, (c.features, width)))
  return SAE(
    W_enc_AF=W_dec_FA.T,
    b_enc_F=jnp.zeros(c.features),
    W_dec_FA=W_dec_FA,
    b_dec_A=jnp.zeros(width),
  )


def standard(c: settings.Dictionary, sae: SAE, dot: Dot) -> SAE:
  """What is trained, in the paper's shape: decoder rows of norm 1.

  `april`: features grow by their row's norm. The decoder bias that `encode`
  takes off is given to the encoder bias first, by the same product, so that
  rounding takes nothing from it.
  """
  if c.recipe == 'paper':
    return sae
  norm_F = jnp.linalg.norm(sae.W_dec_FA, axis=1)
  W_enc_AF = sae.W_enc_AF * norm_F
  shift_F = dot('a,af->f', sae.b_dec_A, W_enc_AF)
  return sae.replace(
    W_enc_AF=W_enc_AF,
    b_enc_F=sae.b_enc_F * norm_F + shift_F,
    W_dec_FA=sae.W_dec_FA / norm_F[:, None],
  )


def error_elements(c: settings.Dictionary, width: int) -> int:
  """How many mean squared errors the loss holds: `april` sums what `paper`
  averages over the A elements."""
  return width if c.recipe == 'april' else 1


def constrain_norms(c: settings.Dictionary, sae: SAE) -> SAE:
  """Behind a step of `paper`, decoder rows are put back to norm 1."""
  if c.recipe == 'april':
    return sae
  return sae.replace(W_dec_FA=unit_rows(sae.W_dec_FA))


def drop_parallel() -> optax.GradientTransformation:
  """Removes from each decoder row's gradient its part along the row.

  g_i -= (g_i . d_i) d_i for unit rows d_i (as the paper): the step then does
  not spend itself on a norm that is put back to 1 afterwards.
  """

  def update(grads: SAE, state, params: SAE):
    g_FA, d_FA = grads.W_dec_FA, params.W_dec_FA
    along_F1 = (g_FA * d_FA).sum(1, keepdims=True)
    return grads.replace(W_dec_FA=g_FA - along_F1 * d_FA), state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def optimizer(
  c: settings.Dictionary, lr: jax.Array | float
) -> optax.GradientTransformation:
  """Adam, on gradients across the decoder rows (`paper`), clipped if so set."""
  parts = [drop_parallel()] if c.recipe == 'paper' else []
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
  l1 = lr = 1.0
  if c.l1_warmup:
    l1 = jnp.minimum(done / c.l1_warmup, 1)
  if c.lr_decay:
    lr = jnp.minimum((1 - done) / c.lr_decay, 1)
  return l1, lr
